import { ApiError } from "@/lib/errors";
import type { Grey } from "@/lib/png";
import type { Size } from "@/lib/viewport";

import { cutOut, longerOf, resizeArea, resizeLinear, rounded } from "./pixels";
import { enlarged, findScales, type Scale } from "./views";

// runtime/photo/preparation.py and photograph.py, whose numbers these are.
const ROOM = 1.1;
const LINEAR = 4 / 3;
const MIN_SIDE = 16;

/** A photograph that is not decoded yet. */
export interface Photo extends Size {
  /** Red, green and blue, at 1/1, 1/2, 1/4 or 1/8 of its size. */
  readonly decode: (factor: number) => Promise<Grey[]>;
}

/** A field of view at the model's scale, and its place in the photograph. */
export interface View {
  readonly pixels: Grey;
  readonly scale: Scale;
}

/**
 * What the network is to see of a photograph: of each field of view the green. `least` and `most`: the diameters between
 * which the model wants it. Rejects with ApiError.
 */
export async function prepareViews(photo: Photo, [least, most]: readonly [number, number]): Promise<View[]> {
  const factor = [8, 4, 2].find((k) => Math.max(photo.width, photo.height) >= k * ROOM * most) ?? 1;
  if (factor > 1) {
    const views = viewsOf(await photo.decode(factor), least, most);
    if (views.every(({ scale }) => scale.diameter >= most))
      return views.map(({ pixels, scale }) => ({ pixels, scale: enlarged(scale, factor, photo) }));
  }
  return viewsOf(await photo.decode(1), least, most);
}

function viewsOf(channels: readonly Grey[], least: number, most: number): View[] {
  const scales = findScales(channels).filter(({ box }) => longerOf(box) >= MIN_SIDE);
  if (!scales.length) throw new ApiError("FieldOfViewError", `Fewer than ${MIN_SIDE} pixels of retina are seen.`);
  return scales.map((scale) => {
    const part = cutOut(channels[1]!, scale.box);
    const by = Math.min(Math.max(scale.diameter, least), most) / scale.diameter;
    const scaled = (length: number) => Math.max(1, rounded(length * by));
    return { pixels: resized(part, { width: scaled(part.width), height: scaled(part.height) }), scale };
  });
}

/** As photograph.py does where no decoder does: to the means of blocks of pixels. */
export function reduced(image: Grey, factor: number): Grey {
  const size = { width: Math.ceil(image.width / factor), height: Math.ceil(image.height / factor) };
  return resizeArea(image, size, { width: size.width * factor, height: size.height * factor });
}

/** As `resize` of preparation.py. */
export function resized(image: Grey, size: Size): Grey {
  const ratio = Math.max(image.width / size.width, image.height / size.height);
  if (ratio <= LINEAR) return resizeLinear(image, size);
  return resizeArea(ratio <= 2 ? resizeLinear(image, { width: 2 * size.width, height: 2 * size.height }) : image, size);
}

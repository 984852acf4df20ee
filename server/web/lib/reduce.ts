import { breather } from "@/lib/idle";
import type { Size } from "@/lib/viewport";

type Picture = ImageBitmap | OffscreenCanvas;

const BAND = 256; // rows that are reduced at a time

/**
 * A picture at a half of its size, at a quarter and so on, while both sides have `least` px or more. Browsers reduce a large
 * picture on the page's own thread, all of it at once and each time that it is drawn.
 */
export async function halvesOf(picture: Picture, least: number): Promise<OffscreenCanvas[]> {
  const breathe = breather();
  const halves: OffscreenCanvas[] = [];
  for (let from = picture; Math.min(from.width, from.height) >= 2 * least; from = halves.at(-1)!) {
    const half = await reduced(from, { width: Math.ceil(from.width / 2), height: Math.ceil(from.height / 2) }, breathe);
    halves.push(half);
  }
  return halves;
}

/** A picture at a size of a half or more of its own: there each pixel is the mean of the four around it. */
async function reduced(
  picture: Picture,
  { width, height }: Size,
  breathe: () => Promise<void>,
): Promise<OffscreenCanvas> {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "low";
  const ratio = picture.height / height;
  for (let top = 0; top < height; top += BAND / 2) {
    const rows = Math.min(BAND / 2, height - top);
    context.drawImage(picture, 0, top * ratio, picture.width, rows * ratio, 0, top, width, rows);
    await breathe();
  }
  return context.canvas;
}

/** Which of a picture and its halves is drawn at a scale of the picture, and how smoothly. */
export function reducedFor(
  picture: Picture,
  halves: readonly OffscreenCanvas[],
  scale: number,
): { image: Picture; smooth: ImageSmoothingQuality } {
  const all = [picture, ...halves];
  const steps = Math.min(halves.length, Math.max(0, Math.floor(-Math.log2(scale))));
  // Between its size and the half of it the plain way takes each pixel into account.
  return { image: all[steps]!, smooth: scale * 2 ** steps > 0.5 ? "low" : "medium" };
}

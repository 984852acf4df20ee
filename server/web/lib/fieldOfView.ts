import type { Grey } from "@/lib/png";

const SURVEY = 256; // px: the field of view is found on a copy with this longest side
const RISE = 0.12; // it begins this far up from the background's level to the retina's

/** RGBA bytes, as in ImageData. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/**
 * The lit disc of a photograph as a coarse mask, 0 or 1; null where nothing dark surrounds it (a photograph that was cut
 * inside the disc). The levels are those of `field_of_view` in vesselrt.runtime.photo.preparation; holes belong to the disc,
 * for vessels and the fovea may be as dark as the background.
 */
export function fieldOfView({ width, height, data }: Pixels): Grey | null {
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = Math.max(data[4 * i]!, data[4 * i + 1]!, data[4 * i + 2]!);
  const background = cornerLevel(grey, width, height);
  const bright = grey.slice().sort()[Math.floor(0.95 * (grey.length - 1))]!;
  if (background > 0.5 * bright) return null;
  const level = background + Math.max(6, RISE * (bright - background));
  const disc = largest(
    grey.map((value) => (value > level ? 1 : 0)),
    width,
    height,
  );
  const area = disc.reduce((sum, value) => sum + value, 0);
  if (area < 0.05 * grey.length) return null;
  return { width, height, values: filled(disc, width, height) };
}

/** A reduced copy of a photograph, for `fieldOfView`. */
export function survey(photograph: ImageBitmap): Pixels {
  const factor = Math.min(1, SURVEY / Math.max(photograph.width, photograph.height));
  const width = Math.max(1, Math.round(photograph.width * factor));
  const height = Math.max(1, Math.round(photograph.height * factor));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "medium";
  context.drawImage(photograph, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** The second darkest corner's median: a camera's notch or a burnt-in date may fill the others. */
function cornerLevel(grey: Uint8Array, width: number, height: number): number {
  const side = Math.max(2, Math.floor(Math.min(width, height) / 40));
  const medians = [0, height - side].flatMap((top) =>
    [0, width - side].map((left) => {
      const values = Array.from({ length: side * side }, (_, i) => {
        return grey[(top + Math.floor(i / side)) * width + left + (i % side)]!;
      });
      return values.sort((a, b) => a - b)[values.length >> 1]!;
    }),
  );
  return medians.sort((a, b) => a - b)[1]!;
}

/** The largest part whose pixels touch by their sides. */
function largest(lit: Uint8Array<ArrayBuffer>, width: number, height: number): Uint8Array<ArrayBuffer> {
  let best: number[] = [];
  const seen = new Uint8Array(lit.length);
  for (let start = 0; start < lit.length; start++) {
    if (!lit[start] || seen[start]) continue;
    const part = flood([start], seen, (i) => lit[i] === 1, width, height);
    if (part.length > best.length) best = part;
  }
  const result = new Uint8Array(lit.length);
  for (const i of best) result[i] = 1;
  return result;
}

/** All that the outside can't reach. */
function filled(disc: Uint8Array<ArrayBuffer>, width: number, height: number): Uint8Array<ArrayBuffer> {
  const outside = new Uint8Array(disc.length);
  const border = Array.from(disc.keys()).filter((i) => {
    const x = i % width;
    const y = Math.floor(i / width);
    return !disc[i] && (x === 0 || y === 0 || x === width - 1 || y === height - 1);
  });
  flood(border, outside, (i) => disc[i] === 0, width, height);
  return outside.map((value) => 1 - value);
}

/** Marks in `seen`, and returns, what can be reached from `starts` in steps up, down and sideways. */
function flood(
  starts: number[],
  seen: Uint8Array,
  passable: (index: number) => boolean,
  width: number,
  height: number,
): number[] {
  const reached = starts.filter((i) => !seen[i]);
  for (const i of reached) seen[i] = 1;
  for (let next = 0; next < reached.length; next++) {
    const i = reached[next]!;
    const x = i % width;
    const neighbours = [x > 0 ? i - 1 : -1, x < width - 1 ? i + 1 : -1, i - width, i + width];
    for (const j of neighbours) {
      if (j < 0 || j >= width * height || seen[j] || !passable(j)) continue;
      seen[j] = 1;
      reached.push(j);
    }
  }
  return reached;
}

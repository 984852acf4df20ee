import type { Grey } from "@/lib/png";
import type { Size } from "@/lib/viewport";

// OpenCV's arithmetic on 8-bit pixels, to the byte: what the network says of a vessel's edge hangs on single grey levels.

const ONE = 2048; // what the weights of a linear interpolation sum up to
const NEGLIGIBLE = 1e-3; // px of a source pixel that OpenCV leaves out of an area

/** A rectangle in pixels, ends excluded. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

export const longerOf = ({ top, left, bottom, right }: Box) => Math.max(bottom - top, right - left);

export function blank({ width, height }: Size): Grey {
  return { width, height, values: new Uint8Array(width * height) };
}

/** What an image has in a box; 0 where it ends before. */
export function cutOut({ width, height, values }: Grey, { top, left, bottom, right }: Box): Grey {
  const part = blank({ width: right - left, height: bottom - top });
  const end = Math.min(right, width);
  for (let y = top; y < Math.min(bottom, height); y++)
    part.values.set(values.subarray(y * width + left, y * width + end), (y - top) * part.width);
  return part;
}

/** The same image with another value for each pixel. */
export function each(image: Grey, of: (value: number, at: number) => number | boolean): Grey {
  return { ...image, values: image.values.map((value, at) => Number(of(value, at))) };
}

/** To the nearest whole number, half to even: Python's `round`, OpenCV's `cvRound`. */
export function rounded(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/** `cv2.resize(..., INTER_LINEAR)`. Beyond its ends a row goes on as it ends before it is weighed, a column after. */
export function resizeLinear({ width, height, values }: Grey, size: Size): Grey {
  const [columns, rows] = [weightsOf(width, size.width, true), weightsOf(height, size.height, false)];
  const result = blank(size);
  const across = (start: number, x: number) => {
    const at = start + columns.first[x]!;
    return (values[at]! * columns.near[x]! + (values[at + 1] ?? 0) * columns.far[x]!) >> 4;
  };
  for (let y = 0, place = 0; y < size.height; y++) {
    const [first, near, far] = [rows.first[y]!, rows.near[y]!, rows.far[y]!];
    const [above, below] = [Math.max(first, 0) * width, Math.min(first + 1, height - 1) * width];
    for (let x = 0; x < size.width; x++)
      result.values[place++] = (((near * across(above, x)) >> 16) + ((far * across(below, x)) >> 16) + 2) >> 2;
  }
  return result;
}

/** For each place the pixel before it, and the weights of that one and the next. */
function weightsOf(from: number, to: number, within: boolean) {
  const [first, near, far] = [new Int32Array(to), new Int32Array(to), new Int32Array(to)];
  const step = 1 / (to / from);
  for (let index = 0; index < to; index++) {
    const exact = Math.fround((index + 0.5) * step - 0.5);
    const place = within ? Math.min(Math.max(exact, 0), from - 1) : exact;
    first[index] = Math.floor(place);
    near[index] = rounded(Math.fround(1 - Math.fround(place - first[index]!)) * ONE);
    far[index] = rounded(Math.fround(place - first[index]!) * ONE);
  }
  return { first, near, far };
}

/**
 * `cv2.resize(..., INTER_AREA)` to a size that is no larger: in single precision and in OpenCV's order, which decide of
 * halves. `padded`: the size that the image has when its last row and column are repeated.
 */
export function resizeArea(image: Grey, { width, height }: Size, padded: Size = image): Grey {
  const [columns, rows] = [sharesOf(padded.width, width), sharesOf(padded.height, height)];
  const [result, sum] = [blank({ width, height }), new Float32Array(width)];
  const fours = padded.width === 2 * width && padded.height === 2 * height; // whose halves OpenCV rounds up
  rows.forEach(({ first, shares }, y) => {
    sum.fill(0);
    shares.forEach((share, index) => {
      const start = Math.min(first + index, image.height - 1) * image.width;
      columns.forEach((part, x) => {
        let row = 0;
        for (let at = 0; at < part.shares.length; at++) {
          const value = image.values[start + Math.min(part.first + at, image.width - 1)]!;
          row = Math.fround(row + Math.fround(value * part.shares[at]!));
        }
        sum[x]! += Math.fround(row * share);
      });
    });
    sum.forEach((value, x) => {
      result.values[y * width + x] = fours ? value + 0.5 : rounded(value);
    });
  });
  return result;
}

/** Of each pixel of the result the shares that source pixels, from the first one on, have of it. */
function sharesOf(from: number, to: number): { readonly first: number; readonly shares: number[] }[] {
  const scale = 1 / (to / from);
  return Array.from({ length: to }, (_, index) => {
    const [start, end] = [index * scale, index * scale + scale];
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    const shares = new Array<number>(last - first).fill(Math.fround(1 / cell));
    if (end - last > NEGLIGIBLE) shares.push(Math.fround(Math.min(end - last, 1, cell) / cell));
    const cut = first - start > NEGLIGIBLE;
    if (cut) shares.unshift(Math.fround((first - start) / cell));
    return { first: cut ? first - 1 : first, shares };
  });
}

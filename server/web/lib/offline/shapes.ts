import type { Grey } from "@/lib/png";
import type { Point, Size } from "@/lib/viewport";

import { type Box, blank, each } from "./pixels";

/** Pixels that are 1 in a small copy of a photograph; at least one is. */
export interface Shape {
  readonly lit: Grey;
  readonly box: Box;
}

const ACROSS = [1, 1, 0, -1, -1, -1, 0, 1]; // the steps to the pixels around one
const DOWN = [0, -1, -1, -1, 0, 1, 1, 1];

/** The same image with another value for each pixel, made of those in a square around it, mirrored at the edges. */
export function around(image: Grey, reach: number, of: (some: readonly number[]) => number): Grey {
  const { width, height, values } = image;
  const within = (at: number, last: number) => Math.min(Math.abs(at > last ? 2 * last - at : at), last);
  return each(image, (_, at) => {
    const [x, y, some] = [at % width, Math.floor(at / width), [] as number[]];
    for (let down = -reach; down <= reach; down++) {
      const start = within(y + down, height - 1) * width;
      for (let across = -reach; across <= reach; across++) some.push(values[start + within(x + across, width - 1)]!);
    }
    return of(some);
  });
}

/** The place beside another one, of eight; -1 beyond the sides. */
function beside(width: number, at: number, side: number): number {
  const x = (at % width) + ACROSS[side & 7]!;
  return x < 0 || x >= width ? -1 : at + ACROSS[side & 7]! + DOWN[side & 7]! * width;
}

/** The places that ways over pixels of 1 lead to, by edges and corners or by `edges` alone; they become 0. */
export function take({ width, values }: Grey, from: readonly number[], edges = false): number[] {
  const found: number[] = [];
  const open = [...from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (!values[at]) continue;
    values[at] = 0;
    found.push(at);
    for (let side = 0; side < 8; side += edges ? 2 : 1) open.push(beside(width, at, side));
  }
  return found;
}

/** The places of each connected part, its first one first. */
export function partsOf(lit: Grey): number[][] {
  const left = each(lit, Number);
  const parts: number[][] = [];
  for (let at = left.values.indexOf(1); at >= 0; at = left.values.indexOf(1, at)) parts.push(take(left, [at]));
  return parts;
}

export function shapeOf(size: Size, places: readonly number[]): Shape {
  const lit = blank(size);
  let [top, left, bottom, right] = [size.height, size.width, 0, 0];
  for (const at of places) {
    const [x, y] = [at % size.width, Math.floor(at / size.width)];
    lit.values[at] = 1;
    [top, left, bottom, right] = [Math.min(top, y), Math.min(left, x), Math.max(bottom, y + 1), Math.max(right, x + 1)];
  }
  return { lit, box: { top, left, bottom, right } };
}

/** A shape without its holes. */
export function filled({ lit }: Shape): Grey {
  const { width, height, values } = lit;
  const isRim = (at: number) =>
    at < width || at >= width * (height - 1) || at % width === 0 || at % width === width - 1;
  const rest = each(lit, (value) => !value);
  take(rest, [...values.keys()].filter(isRim), true);
  return each(lit, (value, at) => value || rest.values[at]!);
}

/** The outer pixels of the part with this first place, in the order of a walk, some of them twice: OpenCV's contour. */
export function contourOf({ width, values }: Grey, first: number): Point[] {
  let side = 11;
  while (side > 4 && !values[beside(width, first, side)]) side--;
  const last = side > 4 ? beside(width, first, side) : first;
  const walk = [first];
  for (let here = first; last !== first; side += 4) {
    do side++;
    while (!values[beside(width, here, side)]);
    const next = beside(width, here, side);
    if (next === first && here === last) break;
    walk.push(next);
    here = next;
  }
  return walk.map((at) => ({ x: at % width, y: Math.floor(at / width) }));
}

/** The corners of the convex hull of points. */
export function hullOf(points: readonly Point[]): Point[] {
  const isLeft = (from: Point, over: Point, { x, y }: Point) =>
    (over.x - from.x) * (y - from.y) > (over.y - from.y) * (x - from.x);
  const half = (some: readonly Point[]) => {
    const chain: Point[] = [];
    for (const point of some) {
      while (chain.length > 1 && !isLeft(chain.at(-2)!, chain.at(-1)!, point)) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  const sorted = points.toSorted((one, other) => one.x - other.x || one.y - other.y);
  return sorted.length > 1 ? [...half(sorted), ...half(sorted.toReversed())] : sorted;
}

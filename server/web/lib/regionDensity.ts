import { densities, type Layer, type Maps } from "@/lib/classes";
import type { Gauge } from "@/lib/gauge";
import type { Grey } from "@/lib/png";
import type { Size } from "@/lib/viewport";

/** A part of a photograph, for which its classes are counted. */
export interface Region extends Maps {
  /** 1 for each of its pixels that lies in the shape and in the field of view, row by row. */
  readonly inside: Uint8Array;
}

/**
 * The part below a shape: its pixels are those whose middles lie in it. `field`: 1 for each pixel of the field of view; null
 * where the image is it. Null: none of its pixels is in the field of view.
 */
export function regionBelow(gauge: Gauge, { maps, exclusive }: Maps, field: Uint8Array | null): Region | null {
  const { width, height } = maps[0]!;
  const { left, top, right, bottom } = boxOf(gauge);
  const [x0, x1] = [nearestPixel(left, width), nearestPixel(right, width)];
  const [y0, y1] = [nearestPixel(top, height), nearestPixel(bottom, height)];
  const size = { width: x1 - x0, height: y1 - y0 };
  const inside = new Uint8Array(size.width * size.height);
  let some = 0;
  for (let y = y0; y < y1; y++) {
    const [from, to] = spanAt(gauge, y, width);
    for (let x = from; x < to; x++) {
      const own = field ? field[y * width + x]! : 1;
      inside[(y - y0) * size.width + x - x0] = own;
      some += own;
    }
  }
  const crop = (map: Grey) => cropped(map, { ...size, left: x0, top: y0 });
  return some ? { maps: maps.map(crop), exclusive, inside } : null;
}

/** Of each class its share of the pixels inside, 0..1. */
export function sharesIn(region: Region, layers: readonly Layer[]): Promise<number[]> {
  return densities(region, layers, region.inside);
}

/** The box around a gauge. */
export function boxOf({ from, to }: Gauge) {
  return {
    left: Math.min(from.x, to.x),
    top: Math.min(from.y, to.y),
    right: Math.max(from.x, to.x),
    bottom: Math.max(from.y, to.y),
  };
}

/** The pixels of a row whose middles lie in the shape: the first, and the one after the last. */
function spanAt(gauge: Gauge, row: number, width: number): [from: number, to: number] {
  const { left, top, right, bottom } = boxOf(gauge);
  if (gauge.kind !== "ellipse") return [nearestPixel(left, width), nearestPixel(right, width)];
  const up = (row + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2);
  const half = ((right - left) / 2) * Math.sqrt(Math.max(0, 1 - up ** 2));
  const middle = (left + right) / 2;
  return [nearestPixel(middle - half, width), nearestPixel(middle + half, width)];
}

/** The first pixel whose middle lies at a place, or behind it. */
function nearestPixel(place: number, all: number): number {
  return Math.min(all, Math.max(0, Math.ceil(place - 0.5)));
}

function cropped(map: Grey, { left, top, width, height }: Size & { left: number; top: number }): Grey {
  const values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * map.width + left;
    values.set(map.values.subarray(start, start + width), y * width);
  }
  return { width, height, values };
}

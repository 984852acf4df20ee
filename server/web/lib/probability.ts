import type { Grey } from "@/lib/png";

/** How many pixels of a region hold each byte of the probability map: 256 counts. */
export type Histogram = Uint32Array;

/**
 * The least byte of the map that is vessel. The one rule, the same as in the library: vessel where
 * probability >= threshold * 255; for whole bytes that is byte >= ceil(threshold * 255).
 */
export function cut(threshold: number): number {
  return Math.ceil(threshold * 255);
}

/** Counts the bytes of a map, of the whole or where `region`, a coarse mask laid over it, is not 0. */
export function histogram(map: Grey, region: Grey | null): Histogram {
  const counts = new Uint32Array(256);
  if (!region) {
    for (const value of map.values) counts[value]!++;
    return counts;
  }
  const columns = Uint32Array.from({ length: map.width }, (_, x) => Math.floor((x * region.width) / map.width));
  for (let y = 0; y < map.height; y++) {
    const row = Math.floor((y * region.height) / map.height) * region.width;
    const start = y * map.width;
    for (let x = 0; x < map.width; x++) {
      if (region.values[row + columns[x]!]) counts[map.values[start + x]!]!++;
    }
  }
  return counts;
}

/** Vessel pixels / all pixels of the region that was counted, 0..1; 0 where nothing was counted. */
export function density(counts: Histogram, threshold: number): number {
  const least = cut(threshold);
  let vessel = 0;
  let all = 0;
  counts.forEach((count, value) => {
    all += count;
    if (value >= least) vessel += count;
  });
  return all ? vessel / all : 0;
}

/** How many pixels of the field of view hold each byte of the probability map: 256 counts, made by the server. */
export type Histogram = readonly number[];

/**
 * The least byte of the map that is vessel. The one rule, the same as in the library: vessel where
 * probability >= threshold * 255; for whole bytes that is byte >= ceil(threshold * 255).
 */
export function cut(threshold: number): number {
  return Math.ceil(threshold * 255);
}

/** The counts as the server sends them, with commas between; null for anything else. */
export function histogramOf(text: string): Histogram | null {
  const counts = text.split(",").map(Number);
  return counts.length === 256 && counts.every(Number.isSafeInteger) ? counts : null;
}

/** Vessel pixels / all pixels of the field of view, 0..1; 0 where it has none. */
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

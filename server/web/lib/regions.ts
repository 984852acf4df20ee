import type { Span } from "@/lib/brush";
import type { Maps } from "@/lib/classes";
import { winnerOf } from "@/lib/coverage";
import { breather } from "@/lib/idle";
import type { Size } from "@/lib/viewport";

/** 1 for each pixel that belongs to a class, else 0; row by row. */
export interface Mask extends Size {
  readonly bits: Uint8Array;
}

/** The mask of one class. `cuts`: of each class the least byte that belongs to it. */
export async function maskOf({ maps, exclusive }: Maps, cuts: readonly number[], layer: number): Promise<Mask> {
  const breathe = breather();
  const { width, height, values } = maps[layer]!;
  const bits = new Uint8Array(width * height);
  const classes = maps.map((map) => ({ bytes: map.values }));
  const least = cuts[layer]!;
  for (let start = 0; start < bits.length; start += width) {
    for (let pixel = start; pixel < start + width; pixel++)
      bits[pixel] = Number(exclusive ? winnerOf(classes, cuts, pixel) === layer : values[pixel]! >= least);
    await breathe();
  }
  return { width, height, bits };
}

/** The parts of a mask, or of what is around it, as runs of their rows. */
interface Parts {
  readonly runs: readonly Span[];
  /** Of each run the number of its part. */
  readonly partOf: Uint32Array;
  /** Of each part its pixels; at the number of one that has become another's, nothing of use. */
  readonly areas: Float64Array;
  /** 1 for each part that touches the edge of the image. */
  readonly open: Uint8Array;
}

/** The parts of a mask with fewer pixels than `least`. Parts are connected by edges or corners. */
export async function specksOf(mask: Mask, least: number): Promise<Span[]> {
  const { runs, partOf, areas } = await partsOf(mask, 1);
  return runs.filter((_, run) => areas[partOf[run]!]! < least);
}

/** The holes of a mask with fewer pixels than `least`: what is around it on all sides, connected by edges. */
export async function holesOf(mask: Mask, least: number): Promise<Span[]> {
  const { runs, partOf, areas, open } = await partsOf(mask, 0);
  return runs.filter((_, run) => !open[partOf[run]!] && areas[partOf[run]!]! < least);
}

/** The hole of a mask around a pixel; nothing where the pixel belongs to the mask, or to what reaches the image's edge. */
export async function holeAt(mask: Mask, x: number, y: number): Promise<Span[]> {
  const { runs, partOf, open } = await partsOf(mask, 0);
  const at = runs.findIndex(({ row, from, to }) => row === y && from <= x && x < to);
  const part = partOf[at];
  return part === undefined || open[part] ? [] : runs.filter((_, run) => partOf[run] === part);
}

/** What has the value: 1 for the mask, whose parts also touch at corners, 0 for what is around it. */
async function partsOf({ width, height, bits }: Mask, value: 0 | 1): Promise<Parts> {
  const breathe = breather();
  const runs: Span[] = [];
  const parents: number[] = [];
  const rootOf = (run: number) => {
    let root = run;
    while (parents[root] !== root) {
      parents[root] = parents[parents[root]!]!; // shortens the way for those that come after
      root = parents[root]!;
    }
    return root;
  };
  for (let row = 0, above = 0; row < height; row++) {
    const first = runs.length;
    for (let x = 0; x < width; x++) {
      if (bits[row * width + x] !== value) continue;
      const from = x;
      while (x < width && bits[row * width + x] === value) x++;
      const number = runs.push({ row, from, to: x }) - 1;
      parents.push(number);
      // Runs of the row above that end before this one begins touch none of this row's others either.
      while (above < first && runs[above]!.to + value <= from) above++;
      for (let other = above; other < first && runs[other]!.from < x + value; other++)
        parents[rootOf(other)] = rootOf(number);
    }
    above = first;
    await breathe();
  }
  const partOf = Uint32Array.from(runs, (_, run) => rootOf(run));
  const areas = new Float64Array(runs.length);
  const open = new Uint8Array(runs.length);
  runs.forEach(({ row, from, to }, run) => {
    const part = partOf[run]!;
    areas[part]! += to - from;
    if (row === 0 || row === height - 1 || from === 0 || to === width) open[part] = 1;
  });
  return { runs, partOf, areas, open };
}

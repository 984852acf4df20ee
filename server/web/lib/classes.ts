import { NEVER, winnerOf } from "@/lib/coverage";
import { breather } from "@/lib/idle";
import type { Grey } from "@/lib/png";
import { cut } from "@/lib/probability";

const SLICE = 2 ** 14; // pixels between two looks at the clock

/** One of the classes that a model tells apart. */
export interface ModelClass {
  readonly name: string;
  /** The model's, "#rrggbb". */
  readonly colour: string;
  /** The model's, 0..1. */
  readonly threshold: number;
}

/** A class as it is shown: what vessels are in a model of one class, too. */
export interface Layer {
  /** Empty where the model tells no classes apart. */
  readonly name: string;
  readonly threshold: number;
  /** "#rrggbb" */
  readonly colour: string;
  readonly shown: boolean;
}

/** The maps of all classes, and whether a pixel belongs to one class at most. */
export interface Maps {
  readonly maps: readonly Grey[];
  readonly exclusive: boolean;
}

/**
 * The least bytes that count. A class that is not shown has none, except where classes exclude each other: there it still
 * takes its pixels from the others.
 */
export function cutsOf(layers: readonly Layer[], exclusive: boolean): number[] {
  return layers.map(({ threshold, shown }) => (shown || exclusive ? cut(threshold) : NEVER));
}

/** Pixels of each class / all pixels, of those where `inside` is 1: 0..1. */
export async function densities(
  { maps, exclusive }: Maps,
  layers: readonly Layer[],
  inside: Uint8Array,
): Promise<number[]> {
  const breathe = breather();
  const cuts = layers.map(({ threshold }) => cut(threshold));
  const classes = maps.map(({ values }) => ({ bytes: values }));
  const counts = maps.map(() => 0);
  let all = 0;
  for (let pixel = 0; pixel < inside.length; pixel++) {
    if (pixel % SLICE === 0) await breathe();
    if (!inside[pixel]) continue;
    all++;
    if (exclusive) {
      const winner = winnerOf(classes, cuts, pixel);
      if (winner >= 0) counts[winner]!++;
    } else {
      for (let number = 0; number < cuts.length; number++)
        if (classes[number]!.bytes[pixel]! >= cuts[number]!) counts[number]!++;
    }
  }
  return counts.map((count) => (all ? count / all : 0));
}

import type { Colour } from "@/lib/renderer";
import { rgb } from "@/lib/settings";

/**
 * The colour map "magma" of Nathaniel Smith and Stéfan van der Walt (CC0), from 0 to 1 in even steps. Its lightness rises
 * evenly from black to near white, so that equal differences look equal, to people who can't tell red from green too.
 */
const STOPS =
  "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 cf4070 e55064 f4695c fb8761 fea571 fec287 fde0a1 fcfdbf"
    .split(" ")
    .map((colour) => rgb(`#${colour}`));

/** How many colours there are: one for each byte of a map. */
const LEVELS = 256;

/** The colour of each byte of a map. */
export const HEAT: readonly Colour[] = Array.from({ length: LEVELS }, (_, byte) => {
  const place = (byte / (LEVELS - 1)) * (STOPS.length - 1);
  const index = Math.min(Math.floor(place), STOPS.length - 2);
  const [low, high] = [STOPS[index]!, STOPS[index + 1]!];
  const between = (channel: 0 | 1 | 2) => Math.round(low[channel] + (high[channel] - low[channel]) * (place - index));
  return [between(0), between(1), between(2)];
});

/** The colours from 0 to 1, as CSS paints them. */
export const HEAT_GRADIENT = `linear-gradient(to right in srgb, ${STOPS.map((stop) => `rgb(${stop.join(" ")})`).join(", ")})`;

/** Bytes of a map, several for each pixel of a canvas in turn. */
export interface Samples {
  readonly bytes: Uint8Array;
  readonly samples: number;
}

/** Of each pixel of a canvas the mean of its samples, 0..255; of several classes, of the greatest byte of each sample. */
export function meansOf(classes: readonly Samples[]): Uint8Array {
  const [first, ...others] = classes;
  if (!first) return new Uint8Array(0);
  const { bytes, samples } = first;
  const means = new Uint8Array(bytes.length / samples);
  for (let pixel = 0, sample = 0; pixel < means.length; pixel++) {
    let sum = 0;
    for (let i = 0; i < samples; i++, sample++) {
      let level = bytes[sample]!;
      for (const other of others) level = Math.max(level, other.bytes[sample]!);
      sum += level;
    }
    means[pixel] = Math.round(sum / samples);
  }
  return means;
}

import { expect, test } from "vitest";

import { cut, density, histogram } from "@/lib/probability";
import { hundredths, rgb } from "@/lib/settings";

const BYTES = Uint8Array.from({ length: 256 }, (_, value) => value);

test("a byte is vessel where it is at least threshold × 255, for every byte and every threshold of the slider", () => {
  for (let step = 0; step <= 100; step++) {
    const threshold = step / 100;
    for (const value of BYTES) expect(value >= cut(threshold)).toBe(value >= threshold * 255);
  }
});

test("the ends and the middle", () => {
  expect([0, 0.2, 0.5, 0.998, 1].map(cut)).toEqual([0, 51, 128, 255, 255]);
});

test("bytes are counted, all or those of a coarse region", () => {
  const map = { width: 4, height: 2, values: Uint8Array.of(0, 9, 9, 255, 0, 0, 9, 255) };
  const all = histogram(map, null);
  expect([all[0], all[9], all[255]]).toEqual([3, 3, 2]);
  const right = histogram(map, { width: 2, height: 1, values: Uint8Array.of(0, 1) });
  expect([right[0], right[9], right[255]]).toEqual([0, 2, 2]);
});

test("density is the share of vessel among what was counted", () => {
  const counts = histogram({ width: 16, height: 16, values: BYTES }, null);
  expect(density(counts, 0)).toBe(1);
  expect(density(counts, 0.5)).toBe(0.5);
  expect(density(counts, 1)).toBe(1 / 256);
  expect(density(new Uint32Array(256), 0.5)).toBe(0);
});

test("steps of a hundredth do not drift and stay within 0 and 1", () => {
  let threshold = 0;
  for (let step = 0; step < 120; step++) threshold = hundredths(threshold + 0.01);
  expect(threshold).toBe(1);
  expect(hundredths(0.29 + 0.01)).toBe(0.3);
  expect(hundredths(-0.1)).toBe(0);
});

test("colours", () => {
  expect(rgb("#00ff66")).toEqual([0, 255, 102]);
});

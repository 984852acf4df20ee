import { expect, test } from "vitest";

import { cut, density, histogramOf } from "@/lib/probability";
import { hundredths, rgb } from "@/lib/settings";

const BYTES = Uint8Array.from({ length: 256 }, (_, value) => value);

test("a byte is vessel where it is at least threshold × 255, for every byte and every threshold of the slider", () => {
  for (let step = 0; step <= 100; step++) {
    const threshold = step / 100;
    const vessels = [...BYTES].filter((value) => value >= cut(threshold));
    expect(vessels).toEqual([...BYTES].filter((value) => value >= threshold * 255));
  }
});

test("the ends and the middle", () => {
  expect([0, 0.2, 0.5, 0.998, 1].map(cut)).toEqual([0, 51, 128, 255, 255]);
});

test("density is the share of vessel among what the server counted", () => {
  const counts = histogramOf(Array(256).fill(2).join(","))!;
  expect(density(counts, 0)).toBe(1);
  expect(density(counts, 0.5)).toBe(0.5);
  expect(density(counts, 1)).toBe(1 / 256);
  expect(density(Array(256).fill(0), 0.5)).toBe(0);
});

test.each(["", "1,2,3", Array(256).fill("x").join(",")])("what are no counts is nothing: %s", (text) => {
  expect(histogramOf(text)).toBeNull();
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

import { expect, test } from "vitest";

import { HEAT, HEAT_GRADIENT, meansOf } from "@/lib/heat";
import type { Colour } from "@/lib/renderer";

/** Linear light as people see it who lack the cones for red or for green (Machado, Oliveira and Fernandes 2009). */
const EYES = {
  usual: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
} as const;

const XYZ = [
  [0.43389, 0.37621, 0.18987],
  [0.21264, 0.71517, 0.07218],
  [0.01776, 0.10945, 0.87288],
] as const; // over the white of D65

type Rows = readonly (readonly number[])[];

function times(rows: Rows, values: readonly number[]): number[] {
  return rows.map((row) => row.reduce((sum, factor, place) => sum + factor * values[place]!, 0));
}

/** CIELAB of a colour for some eyes. */
function lab(colour: Colour, eyes: Rows): [number, number, number] {
  const light = colour.map((value) =>
    value / 255 <= 0.04045 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4,
  );
  const seen = times(eyes, light).map((value) => Math.min(1, Math.max(0, value)));
  const [x, y, z] = times(XYZ, seen).map((t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116));
  return [116 * y! - 16, 500 * (x! - y!), 200 * (y! - z!)];
}

for (const [name, eyes] of Object.entries(EYES)) {
  test(`each level is lighter than the one before, and steps are even: ${name}`, () => {
    const levels = HEAT.map((colour) => lab(colour, eyes));
    const lightness = levels.map(([light]) => light);
    expect(lightness[0]).toBeLessThan(2);
    expect(lightness[255]).toBeGreaterThan(95);
    for (let byte = 8; byte < 256; byte++) expect(lightness[byte]!).toBeGreaterThan(lightness[byte - 8]!);
    const coarse = levels.filter((_, byte) => byte % 17 === 0);
    const steps = coarse.slice(1).map(([l, a, b], place) => {
      const [l0, a0, b0] = coarse[place]!;
      return Math.hypot(l - l0, a - a0, b - b0);
    });
    expect(Math.min(...steps)).toBeGreaterThan(5); // twice what is just seen
    expect(Math.max(...steps) / Math.min(...steps)).toBeLessThan(4);
  });
}

test("the legend has the colours of the picture", () => {
  const painted = [...HEAT_GRADIENT.matchAll(/rgb\((\d+) (\d+) (\d+)\)/g)].map((match) => match.slice(1).map(Number));
  expect(painted).toHaveLength(17);
  painted.forEach((colour, place) => {
    const near = HEAT[Math.round((place / 16) * 255)]!;
    colour.forEach((value, channel) => {
      expect(Math.abs(value - near[channel]!)).toBeLessThan(3);
    });
  });
});

test("a pixel of the canvas has the mean of its samples; of classes, of their greatest", () => {
  const first = { bytes: Uint8Array.of(0, 100, 200, 255), samples: 2 };
  expect([...meansOf([first])]).toEqual([50, 228]);
  expect([...meansOf([first, { bytes: Uint8Array.of(50, 0, 0, 0), samples: 2 }])]).toEqual([75, 228]);
  expect(meansOf([])).toHaveLength(0);
});

import { expect, test } from "vitest";

import { fieldOfView, type Pixels } from "@/lib/fieldOfView";

/** A square photograph of one grey level for each pixel. */
function photograph(side: number, level: (x: number, y: number) => number): Pixels {
  const data = new Uint8ClampedArray(4 * side * side);
  for (let i = 0; i < side * side; i++) data.fill(level(i % side, Math.floor(i / side)), 4 * i, 4 * i + 4);
  return { width: side, height: side, data };
}

const within = (x: number, y: number, radius: number) => Math.hypot(x - 49.5, y - 49.5) < radius;

test("the lit disc, with what is dark inside of it, and nothing beside it", () => {
  const found = fieldOfView(
    photograph(100, (x, y) => {
      if (x > 93 && y < 6) return 200; // a date burnt in
      return within(x, y, 40) && !within(x, y, 6) ? 150 : 4;
    }),
  );
  for (let y = 0; y < 100; y++) {
    for (let x = 0; x < 100; x++) expect(found!.values[100 * y + x]).toBe(within(x, y, 40) ? 1 : 0);
  }
});

test("a photograph cut inside of the disc has none, nor has a black one", () => {
  expect(fieldOfView(photograph(100, () => 150))).toBeNull();
  expect(fieldOfView(photograph(100, () => 0))).toBeNull();
});

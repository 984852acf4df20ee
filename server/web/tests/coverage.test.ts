import { expect, test } from "vitest";

import { Coverage, countExclusive, NEVER } from "@/lib/coverage";
import { fit, origin, type Viewport } from "@/lib/viewport";

const MAP = {
  width: 23,
  height: 17,
  values: Uint8Array.from({ length: 23 * 17 }, (_, i) => (i * i * 7 + i * 31) & 255),
};
const CANVAS = { width: 20, height: 30 };

/** The count of one pixel of the canvas by the definition; null beside the image. */
function count(view: Viewport, finest: number, cut: number, x: number, y: number): number | null {
  const start = origin(view, CANVAS);
  const side = Math.min(finest, Math.max(1, Math.ceil(1 / view.scale)));
  const at = (start: number, pixel: number, share: number) => start + (pixel + share) / view.scale;
  const [middleX, middleY] = [at(start.x, x, 0.5), at(start.y, y, 0.5)];
  if (middleX < 0 || middleY < 0 || middleX >= MAP.width || middleY >= MAP.height) return null;
  let vessel = 0;
  for (let j = 0; j < side; j++) {
    for (let i = 0; i < side; i++) {
      const column = Math.min(MAP.width - 1, Math.max(0, Math.floor(at(start.x, x, (i + 0.5) / side))));
      const row = Math.min(MAP.height - 1, Math.max(0, Math.floor(at(start.y, y, (j + 0.5) / side))));
      if (MAP.values[row * MAP.width + column]! >= cut) vessel++;
    }
  }
  return vessel;
}

const VIEWS: readonly (readonly [string, Viewport, number])[] = [
  ["the whole image", fit(CANVAS, MAP), 6],
  ["100 %", { scale: 1, centre: { x: 11.5, y: 8.5 } }, 6],
  ["a part, enlarged", { scale: 7.3, centre: { x: 3, y: 15.2 } }, 6],
  ["much smaller", { scale: 0.21, centre: { x: 11.5, y: 8.5 } }, 6],
  ["much smaller, with few samples", { scale: 0.21, centre: { x: 11.5, y: 8.5 } }, 2],
];

test.each(VIEWS)("%s: whatever way the cut takes, the counts are those of the definition", (_, view, finest) => {
  const coverage = Coverage.of(MAP, view, CANVAS, finest);
  const painted = new Int32Array(coverage.counts.length).fill(-1);
  for (const cut of [128, 130, 90, 0, 255, 1, 1, NEVER, 200]) {
    if (cut === 90) for (const _ of coverage.prepare()); // the first steps without an index, the others with one
    const before = painted.slice();
    const { top, bottom } = coverage.setCut(cut, (pixel) => {
      painted[pixel] = coverage.counts[pixel]!;
    });
    for (let y = 0; y < CANVAS.height; y++) {
      for (let x = 0; x < CANVAS.width; x++) {
        const [column, row] = [x - coverage.left, y - coverage.top];
        const inside = column >= 0 && row >= 0 && column < coverage.width && row < coverage.height;
        const pixel = row * coverage.width + column;
        expect(inside ? painted[pixel]! : null).toBe(count(view, finest, cut, x, y));
        if (inside && painted[pixel] !== before[pixel]) expect(row >= top && row < bottom).toBe(true);
      }
    }
  }
});

test("a cut that stays changes nothing", () => {
  const coverage = Coverage.of(MAP, fit(CANVAS, MAP), CANVAS, 6);
  expect(coverage.setCut(9)).toEqual({ top: 0, bottom: coverage.height });
  expect(coverage.setCut(9, () => expect.unreachable())).toEqual({ top: 0, bottom: 0 });
});

test("an image that is not seen has no pixels", () => {
  const coverage = Coverage.of(MAP, { scale: 1, centre: { x: 500, y: 8 } }, CANVAS, 6);
  expect(coverage.width * coverage.height).toBe(0);
  expect(coverage.setCut(9)).toEqual({ top: 0, bottom: coverage.height });
});

test("of several classes a sample is counted for the most probable that reaches its cut, of equals for the first", () => {
  const other = { ...MAP, values: Uint8Array.from(MAP.values, (value, i) => (i % 3 ? 255 - value : value)) };
  const canvas = { width: MAP.width, height: MAP.height };
  const view = { scale: 1, centre: { x: MAP.width / 2, y: MAP.height / 2 } };
  const classes = [Coverage.of(MAP, view, canvas, 6), Coverage.of(other, view, canvas, 6)] as const;
  classes[0].setCut(9);
  for (const cuts of [
    [128, 128],
    [60, 200],
    [0, NEVER],
  ] as const) {
    countExclusive(classes, cuts);
    const expected = MAP.values.map((first, i) => {
      const second = other.values[i]!;
      const [one, two] = [first >= cuts[0], second >= cuts[1]];
      return one && (!two || first >= second) ? 1 : two ? 2 : 0;
    });
    expect(classes[0].counts).toEqual(expected.map((label) => Number(label === 1)));
    expect(classes[1].counts).toEqual(expected.map((label) => Number(label === 2)));
  }
  classes[0].setCut(9); // each for itself again
  expect(classes[0].counts).toEqual(MAP.values.map((value) => Number(value >= 9)));
});

test("what is made and counted in steps is the same", () => {
  const view = { scale: 0.21, centre: { x: 11.5, y: 8.5 } };
  const atOnce = Coverage.of(MAP, view, CANVAS, 6);
  atOnce.setCut(130);
  const steps = Coverage.made(MAP, view, CANVAS, 6);
  let step = steps.next();
  while (!step.done) step = steps.next();
  const inSteps = step.value;
  for (const _ of inSteps.countFirst(130));
  expect(inSteps.counts).toEqual(atOnce.counts);
  expect(inSteps.setCut(130)).toEqual({ top: 0, bottom: 0 }); // nothing is left to do
  expect(inSteps.counts.some((count) => count > 0)).toBe(true);
});

import { expect, test } from "vitest";
import { uncovered } from "@/lib/canvasRenderer";
import { fit, isFit, origin, pan, toImage, zoom } from "@/lib/viewport";

const CANVAS = { width: 1000, height: 800 };
const IMAGE = { width: 4000, height: 3000 };

test("the whole image fits, with a little air", () => {
  const view = fit(CANVAS, IMAGE);
  expect(view.scale).toBeCloseTo(0.97 * 0.25);
  expect(view.centre).toEqual({ x: 2000, y: 1500 });
});

test("the point under the cursor stays there", () => {
  const at = { x: 640, y: 310 };
  const near = zoom(fit(CANVAS, IMAGE), 10, at, CANVAS, IMAGE);
  const nearer = zoom(near, 3, at, CANVAS, IMAGE);
  const [before, after] = [toImage(near, at, CANVAS), toImage(nearer, at, CANVAS)];
  expect(after.x).toBeCloseTo(before.x);
  expect(after.y).toBeCloseTo(before.y);
});

test("zoom ends at the whole image and at 48 device pixels for one of the image", () => {
  const whole = fit(CANVAS, IMAGE);
  expect(zoom(whole, 1e-6, { x: 0, y: 0 }, CANVAS, IMAGE)).toEqual(whole);
  expect(zoom(whole, 1e6, { x: 0, y: 0 }, CANVAS, IMAGE).scale).toBe(48);
  // A small image is never made smaller than it is.
  expect(
    zoom({ scale: 5, centre: { x: 5, y: 5 } }, 1e-6, { x: 0, y: 0 }, CANVAS, { width: 10, height: 10 }).scale,
  ).toBe(1);
});

test("what leads back to the whole image is the whole image again", () => {
  const at = { x: 640, y: 310 };
  const whole = fit(CANVAS, IMAGE);
  expect(isFit(pan(whole, 1, -2, CANVAS, IMAGE), CANVAS, IMAGE)).toBe(true);
  const near = zoom(whole, 1.25, at, CANVAS, IMAGE);
  expect(isFit(near, CANVAS, IMAGE)).toBe(false);
  expect(isFit(zoom(near, 0.8, at, CANVAS, IMAGE), CANVAS, IMAGE)).toBe(true);
  expect(isFit(zoom(near, 0.1, at, CANVAS, IMAGE), CANVAS, IMAGE)).toBe(true);
});

test("a larger image never leaves the edge of the canvas; a smaller one stays in the middle", () => {
  const view = { scale: 1, centre: { x: 2000, y: 1500 } };
  expect(pan(view, 30, -20, CANVAS, IMAGE).centre).toEqual({ x: 1970, y: 1520 });
  expect(pan(view, 1e6, 1e6, CANVAS, IMAGE).centre).toEqual({ x: 500, y: 400 });
  expect(pan(view, -1e6, -1e6, CANVAS, IMAGE).centre).toEqual({ x: 3500, y: 2600 });
  expect(pan(view, 9, 9, CANVAS, { width: 100, height: 100 }).centre).toEqual({ x: 50, y: 50 });
});

test("at 100 % the corner lies on whole pixels, whatever the sizes", () => {
  for (const width of [999, 1000, 1001]) {
    const corner = origin({ scale: 1, centre: { x: 450.3, y: 450.5 } }, { width, height: 801 });
    expect(Number.isInteger(corner.x) && Number.isInteger(corner.y)).toBe(true);
  }
});

test("what comes into view when a picture moves is a column and a row, which do not overlap", () => {
  const canvas = { width: 10, height: 6 };
  expect(uncovered(canvas, 0, 0)).toEqual([]);
  expect(uncovered(canvas, 2, 0)).toEqual([{ x: 0, y: 0, width: 2, height: 6 }]);
  expect(uncovered(canvas, -2, 3)).toEqual([
    { x: 8, y: 0, width: 2, height: 6 },
    { x: 0, y: 0, width: 8, height: 3 },
  ]);
  expect(uncovered(canvas, 1, -2)).toEqual([
    { x: 0, y: 0, width: 1, height: 6 },
    { x: 1, y: 4, width: 9, height: 2 },
  ]);
  expect(uncovered(canvas, 40, -40)).toEqual([{ x: 0, y: 0, width: 10, height: 6 }]);
});

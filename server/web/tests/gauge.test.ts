import { expect, test } from "vitest";

import type { Layer } from "@/lib/classes";
import { type Gauge, isEmpty, movedTo, nextNumber, partsOf } from "@/lib/gauge";
import { regionBelow, sharesIn } from "@/lib/regionDensity";

const IMAGE = { width: 40, height: 30 };
const LAYER: Layer = { name: "", threshold: 0.5, colour: "#000000", shown: true };

function gauge(kind: Gauge["kind"], x0: number, y0: number, x1 = x0, y1 = y0): Gauge {
  return { number: 1, kind, from: { x: x0, y: y0 }, to: { x: x1, y: y1 } };
}

const blank = (byte = 0) => new Uint8Array(IMAGE.width * IMAGE.height).fill(byte);

/** The shares of a shape on a map. */
async function shares(shape: Gauge, values: Uint8Array<ArrayBuffer>, field: Uint8Array | null, threshold = 0.5) {
  const region = regionBelow(shape, { maps: [{ ...IMAGE, values }], exclusive: false }, field);
  return region && sharesIn(region, [{ ...LAYER, threshold }]);
}

test("parts move as far as the image goes, and the whole keeps its shape", () => {
  const ruler = gauge("length", 5, 5, 15, 10);
  expect(movedTo(ruler, "to", { x: 99, y: -3 }, IMAGE)).toEqual(gauge("length", 5, 5, 40, 0));
  const box = gauge("rectangle", 15, 10, 5, 6);
  expect(movedTo(box, "whole", { x: 20, y: 20 }, IMAGE)).toEqual(gauge("rectangle", 25, 22, 15, 18));
  expect(movedTo(box, "whole", { x: -9, y: 99 }, IMAGE)).toEqual(gauge("rectangle", 10, 30, 0, 26));
  expect(movedTo(gauge("width", 3, 3), "whole", { x: 7, y: 50 }, IMAGE)).toEqual(gauge("width", 7, 30));
});

test("a calliper is held where it reads, a region by two corners and its middle", () => {
  const calibre = { from: { x: 2, y: 8 }, to: { x: 6, y: 8 }, px: 4, layer: 0 };
  expect(partsOf(gauge("width", 3, 9), { kind: "width", calibre })).toEqual([["whole", { x: 4, y: 8 }]]);
  expect(partsOf(gauge("width", 3, 9), { kind: "width", calibre: null })).toEqual([["whole", { x: 3, y: 9 }]]);
  expect(partsOf(gauge("ellipse", 0, 0, 10, 4), undefined).map(([part]) => part)).toEqual(["from", "to", "whole"]);
});

test("what has no length, or no area, is none; numbers of what was removed are not given again", () => {
  expect(isEmpty(gauge("length", 3, 3))).toBe(true);
  expect(isEmpty(gauge("length", 3, 3, 3, 4))).toBe(false);
  expect(isEmpty(gauge("rectangle", 3, 3, 3, 9))).toBe(true);
  expect(isEmpty(gauge("width", 3, 3))).toBe(false);
  expect(nextNumber([])).toBe(1);
  expect(nextNumber([{ ...gauge("width", 0, 0), number: 4 }])).toBe(5);
});

test("a region has the pixels whose middles lie in it, whichever corner was first", async () => {
  const values = blank();
  for (let y = 4; y < 8; y++) values.fill(200, y * IMAGE.width + 10, y * IMAGE.width + 20);
  expect(await shares(gauge("rectangle", 10, 4, 20, 8), values, null)).toEqual([1]);
  expect(await shares(gauge("rectangle", 20, 8, 10, 0), values, null)).toEqual([0.5]);
  expect(await shares(gauge("rectangle", 9.6, 3.6, 20.4, 8.4), values, null)).toEqual([1]);
  expect(await shares(gauge("rectangle", 9.5, 4, 20, 8), values, null)).toEqual([10 / 11]);
  expect(await shares(gauge("rectangle", -50, -50, 400, 300), values, null)).toEqual([40 / 1200]);
});

test("an ellipse is one: its area, and nothing of its corners", async () => {
  const corner = blank();
  corner[5 * IMAGE.width + 5] = 255;
  expect(await shares(gauge("ellipse", 5, 5, 35, 25), corner, null)).toEqual([0]);
  const region = regionBelow(
    gauge("ellipse", 5, 5, 35, 25),
    { maps: [{ ...IMAGE, values: blank() }], exclusive: false },
    null,
  );
  const pixels = region!.inside.reduce((sum, one) => sum + one, 0);
  expect(Math.abs(pixels - Math.PI * 15 * 10)).toBeLessThan(8);
});

test("it is the share of the field of view, and follows the threshold; where there is none of it, there is no share", async () => {
  const values = blank(100);
  const field = blank();
  for (let y = 0; y < 30; y++) field.fill(1, y * IMAGE.width, y * IMAGE.width + 20);
  for (let y = 0; y < 10; y++) values.fill(180, y * IMAGE.width, (y + 1) * IMAGE.width);
  const box = gauge("rectangle", 10, 0, 30, 20);
  expect(await shares(box, values, field)).toEqual([0.5]);
  expect(await shares(box, values, field, 0.3)).toEqual([1]);
  expect(await shares(box, values, field, 180 / 255)).toEqual([0.5]); // the rule: at the threshold is vessel
  expect(await shares(box, values, field, 181 / 255)).toEqual([0]);
  expect(await shares(gauge("rectangle", 25, 0, 30, 20), values, field)).toBeNull();
});

test("of classes of which a pixel has one at most, the more probable one counts", async () => {
  const maps = [blank(150), blank(180)].map((values) => ({ ...IMAGE, values }));
  const layers = [
    { ...LAYER, name: "artery" },
    { ...LAYER, name: "vein" },
  ];
  const box = gauge("rectangle", 0, 0, 10, 10);
  expect(await sharesIn(regionBelow(box, { maps, exclusive: true }, null)!, layers)).toEqual([0, 1]);
  expect(await sharesIn(regionBelow(box, { maps, exclusive: false }, null)!, layers)).toEqual([1, 1]);
});

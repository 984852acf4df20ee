import { describe, expect, test } from "vitest";

import { calibreAt } from "@/lib/calibre";
import type { Layer } from "@/lib/classes";
import { distance } from "@/lib/gauge";
import type { Grey } from "@/lib/png";
import type { Point } from "@/lib/viewport";

const SIDE = 160;
const AT: Point = { x: 81.3, y: 79.2 }; // in none of the pixels' middles

/** A map whose bytes are those of a function of pixels' middles. */
function mapOf(byte: (at: Point) => number): Grey {
  const values = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) values[y * SIDE + x] = Math.max(0, Math.min(255, byte({ x: x + 0.5, y: y + 0.5 })));
  return { width: SIDE, height: SIDE, values };
}

/** A straight band through AT: 127.5 at its edges, and so many levels less for a pixel farther out. */
function band(angle: number, width: number, slope = 60): Grey {
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  return mapOf(({ x, y }) => {
    const aside = Math.abs((y - AT.y) * cosine - (x - AT.x) * sine);
    return Math.round(127.5 + slope * (width / 2 - aside));
  });
}

function layer(threshold = 0.5, name = "", shown = true): Layer {
  return { name, threshold, colour: "#000000", shown };
}

const read = (map: Grey, at: Point, threshold = 0.5) =>
  calibreAt({ maps: [map], exclusive: false }, [layer(threshold)], at);

describe.each([0, 0.2, Math.PI / 4, 1.1, Math.PI / 2, 2.2, 3])("of a band at %f rad", (angle) => {
  test.each([2.5, 6, 13.4])("the width %f is read to a tenth of a pixel, across it", (width) => {
    const found = read(band(angle, width), AT)!;
    expect(Math.abs(found.px - width)).toBeLessThan(0.1);
    const across = Math.atan2(found.to.y - found.from.y, found.to.x - found.from.x);
    expect(Math.abs(Math.cos(across - angle))).toBeLessThan(0.03); // 2 degrees
  });

  test("a place beside the middle reads the same, on the vessel's middle", () => {
    const beside = { x: AT.x - 4 * Math.sin(angle), y: AT.y + 4 * Math.cos(angle) };
    const found = read(band(angle, 10), beside)!;
    expect(Math.abs(found.px - 10)).toBeLessThan(0.1);
    const centre = { x: (found.from.x + found.to.x) / 2, y: (found.from.y + found.to.y) / 2 };
    const aside = (centre.y - AT.y) * Math.cos(angle) - (centre.x - AT.x) * Math.sin(angle);
    expect(Math.abs(aside)).toBeLessThan(0.1);
  });
});

test("it follows the threshold: two levels more at each edge for each pixel", () => {
  const map = band(0.4, 8, 40);
  for (const [threshold, width] of [
    [0.3, 8 + (2 * 0.2 * 255) / 40],
    [0.5, 8],
    [0.7, 8 - (2 * 0.2 * 255) / 40],
  ] as const)
    expect(Math.abs(read(map, AT, threshold)!.px - width)).toBeLessThan(0.1);
});

test("rough edges don't make it smaller: a mask without any slope reads what its area does", () => {
  for (const angle of [0.15, 0.5, 0.8, 1.3]) {
    const map = band(angle, 9, 10_000);
    const widths = Array.from({ length: 21 }, (_, step) => {
      const along = 2 * (step - 10);
      return read(map, { x: AT.x + along * Math.cos(angle), y: AT.y + along * Math.sin(angle) })!.px;
    });
    const mean = widths.reduce((sum, width) => sum + width, 0) / widths.length;
    expect(Math.abs(mean - 9)).toBeLessThan(0.2);
    for (const width of widths) expect(Math.abs(width - 9)).toBeLessThan(1);
  }
});

test("a press a little beside a vessel means it; far from any, and in one without two edges, there is no width", () => {
  const map = band(0, 6);
  expect(Math.abs(read(map, { x: AT.x, y: AT.y + 6 })!.px - 6)).toBeLessThan(0.1);
  expect(read(map, { x: AT.x, y: AT.y + 9 })).toBeNull();
  expect(read(map, { x: -50, y: 900 })).toBeNull();
  expect(
    read(
      mapOf(() => 255),
      AT,
    ),
  ).toBeNull(); // all of it is vessel
  expect(read(band(0, 60), AT)).toBeNull(); // wider than a vessel is
});

test("a vessel that leaves the image across has no width there; along it, it has", () => {
  const edge = mapOf(({ y }) => (y < 5 ? 255 : 0));
  expect(read(edge, { x: 80, y: 2 })).toBeNull();
  expect(Math.abs(read(band(0, 6), { x: 3, y: AT.y })!.px - 6)).toBeLessThan(0.1);
});

test("of several classes it is the one at the place that is shown, up to where another has the pixels", () => {
  const artery = band(0, 20, 10);
  const vein = mapOf(({ y }) => (y > AT.y + 4 ? 250 : 0));
  const maps = { maps: [artery, vein], exclusive: false };
  const classes = [layer(0.5, "artery"), layer(0.5, "vein")] as const;
  const found = calibreAt(maps, classes, AT)!;
  expect([found.layer, Math.round(found.px)]).toEqual([0, 20]);
  const taken = calibreAt({ ...maps, exclusive: true }, classes, AT)!;
  expect(taken.layer).toBe(0);
  expect(distance(taken.from, taken.to)).toBe(taken.px);
  expect(Math.abs(taken.px - 14.2)).toBeLessThan(0.5); // the vein begins in the row of 83.5
  expect(calibreAt(maps, [layer(0.5, "artery", false), classes[1]], AT)).toBeNull();
});

// What lib/offline makes of photographs, against what the runtime makes of them: tests/server/test_page_offline.py.

import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { type Photo, prepareViews, reduced, resized } from "@/lib/offline/preparation";
import { warningsOf } from "@/lib/offline/warnings";
import type { Grey } from "@/lib/png";
import expected from "./preparation.json";

interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly page: readonly number[];
  readonly frames: readonly number[][];
  readonly discs: readonly number[][];
}

function photoOf(drawing: Drawing): Photo {
  const channels = draw(drawing);
  const decode = async (factor: number) => (factor === 1 ? channels : channels.map((one) => reduced(one, factor)));
  return { width: drawing.width, height: drawing.height, decode };
}

/** Red, green and blue. */
function draw({ width, height, page, frames, discs }: Drawing): Grey[] {
  return page.map((level, channel) => {
    const values = new Uint8Array(width * height).fill(level);
    for (const [left, top, right, bottom] of frames)
      for (let y = top!; y < bottom!; y++) values.fill(0, y * width + left!, y * width + right!);
    for (const [across, down, radius] of discs)
      for (let at = 0; at < values.length; at++) {
        const [x, y] = [at % width, Math.floor(at / width)];
        if ((x - across!) ** 2 + (y - down!) ** 2 <= radius! ** 2)
          values[at] = [160, 90, 40][channel]! + (((x * x + 3 * y * y + x * y) >> 6) % 32);
      }
    return { width, height, values };
  });
}

const digest = ({ values }: Grey) => createHash("sha256").update(values).digest("hex");

describe("preparation", { timeout: 60_000 }, () => {
  it.each(expected.photographs)(
    "$name: the same field of view and the same bytes",
    async ({ views, warnings, ...drawing }) => {
      const found = await prepareViews(photoOf(drawing), expected.scale as [number, number]);
      expect(
        found.map(({ pixels, scale: { box, diameter, seen } }) => ({
          box: [box.top, box.left, box.bottom, box.right],
          diameter: diameter.toFixed(6),
          seen,
          width: pixels.width,
          height: pixels.height,
          sha256: digest(pixels),
        })),
      ).toEqual(views.map((view) => ({ ...view, diameter: view.diameter.toFixed(6) })));
      const seen = found.every(({ scale }) => scale.seen);
      expect(warningsOf(found.length, seen)).toEqual(warnings);
    },
  );

  it.each(expected.resized)("resizes $from to $to as OpenCV does", ({ from, to, sha256 }) => {
    const [width, height] = from as [number, number];
    const [, , blue] = draw({ width, height, page: [0, 0, 0], frames: [], discs: [[0, 0, 9999]] });
    const red = { ...blue!, values: blue!.values.map((value) => value + 120) };
    expect(digest(resized(red, { width: to[0]!, height: to[1]! }))).toBe(sha256);
  });

  it("refuses a photograph that is black", async () => {
    const black = photoOf({ width: 64, height: 64, page: [0, 0, 0], frames: [], discs: [] });
    await expect(prepareViews(black, [512, 640])).rejects.toThrow("black");
  });
});

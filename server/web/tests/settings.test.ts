import { expect, test } from "vitest";

import { compared, DEFAULTS, hundredths, rgb, seen } from "@/lib/settings";

test("the original is not compared with itself", () => {
  const comparing = { ...DEFAULTS, ...compared({ ...DEFAULTS, view: "original" }) };
  expect(comparing).toMatchObject({ view: "overlay", wiper: 0.5 });
  expect(seen("mask", comparing)).toEqual({ view: "mask", wiper: 0.5 });
  expect(seen("original", comparing)).toEqual({ view: "original", wiper: null });
  expect(compared(comparing)).toEqual({ view: "overlay", wiper: null });
});

test("hundredths do not drift and stay within 0 to 1", () => {
  expect(hundredths(0.1 + 0.2)).toBe(0.3);
  expect(hundredths(-0.01)).toBe(0);
  expect(hundredths(1.01)).toBe(1);
});

test("a colour's bytes", () => {
  expect(rgb("#00ff66")).toEqual([0, 255, 102]);
});

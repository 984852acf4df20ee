import { expect, test } from "vitest";

import { compared, DEFAULTS, hundredths, peeked, rgb, seen, setBeside } from "@/lib/settings";

test("the original is not compared with itself", () => {
  const comparing = { ...DEFAULTS, ...compared({ ...DEFAULTS, view: "original" }) };
  expect(comparing).toMatchObject({ view: "overlay", wiper: 0.5 });
  expect(seen("mask", comparing)).toMatchObject({ view: "mask", wiper: 0.5 });
  expect(seen("original", comparing)).toEqual({ view: "original", wiper: null, beside: false });
  expect(compared(comparing)).toMatchObject({ view: "overlay", wiper: null });
});

test("the original stands beside the result, or a wiper divides the picture: never both", () => {
  const beside = { ...DEFAULTS, ...setBeside({ ...DEFAULTS, ...compared(DEFAULTS) }) };
  expect(beside).toMatchObject({ beside: true, wiper: null });
  expect({ ...beside, ...compared(beside) }).toMatchObject({ beside: false, wiper: 0.5 });
  expect({ ...beside, ...setBeside(beside) }).toMatchObject({ beside: false, wiper: null });
  expect({ ...beside, ...seen("original", beside) }).toMatchObject({ beside: false });
  expect(peeked(beside)).toMatchObject({ view: "original", beside: true });
});

test("hundredths do not drift and stay within 0 to 1", () => {
  expect(hundredths(0.1 + 0.2)).toBe(0.3);
  expect(hundredths(-0.01)).toBe(0);
  expect(hundredths(1.01)).toBe(1);
});

test("a colour's bytes", () => {
  expect(rgb("#00ff66")).toEqual([0, 255, 102]);
});

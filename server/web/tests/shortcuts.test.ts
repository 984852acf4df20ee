import { expect, test } from "vitest";

import { boundTo, SHORTCUTS } from "@/lib/shortcuts";

const KEYS = { "[": "down", r: "reset", s: "save", "?": "help" };

function press(key: string, ...held: string[]) {
  const getModifierState = (name: string) => held.includes(name);
  const [ctrlKey, altKey, metaKey] = ["Control", "Alt", "Meta"].map(getModifierState) as [boolean, boolean, boolean];
  return boundTo({ key, repeat: held.includes("repeat"), ctrlKey, altKey, metaKey, getModifierState }, KEYS);
}

test("letters in either case, signs as they are", () => {
  expect(press("r")).toBe("reset");
  expect(press("R", "Shift")).toBe("reset");
  expect(press("?", "Shift")).toBe("help");
  expect(press("x")).toBeUndefined();
});

test("Ctrl, Alt and Meta leave the key to the browser", () => {
  for (const held of ["Control", "Alt", "Meta"]) expect(press("r", held)).toBeUndefined();
});

test("AltGr only types: it writes brackets on many keyboards", () => {
  expect(press("[", "AltGraph")).toBe("down");
  expect(press("[", "Control", "Alt", "AltGraph")).toBe("down");
});

test("a key that is held moves on, and saves once", () => {
  expect(press("[", "repeat")).toBe("down");
  expect(press("S", "repeat")).toBeUndefined();
});

test("the help shows each key once", () => {
  const keys = SHORTCUTS.flatMap(([keys]) => keys);
  expect(new Set(keys).size).toBe(keys.length);
});

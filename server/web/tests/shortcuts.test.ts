import { expect, test } from "vitest";

import { boundTo, keyOf, SHORTCUTS } from "@/lib/shortcuts";

const KEYS = { "[": "down", r: "reset", s: "save", "?": "help" };

function press(key: string, ...held: string[]) {
  const getModifierState = (name: string) => held.includes(name);
  const [ctrlKey, altKey, metaKey] = ["Control", "Alt", "Meta"].map(getModifierState) as [boolean, boolean, boolean];
  const shiftKey = held.includes("Shift");
  const rest = { code: "", repeat: held.includes("repeat"), shiftKey, ctrlKey, altKey, metaKey, getModifierState };
  return boundTo({ key, ...rest }, KEYS);
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

test.each<[keyboard: string, key: string, code: string, shiftKey: boolean, expected: string]>([
  ["Russian", "к", "KeyR", false, "r"],
  ["Russian", "К", "KeyR", true, "r"],
  ["Russian", "х", "BracketLeft", false, "["],
  ["Russian", "Х", "BracketLeft", true, "{"],
  ["Russian", "Б", "Comma", true, "<"],
  ["Russian", ".", "Slash", false, "."], // what is written goes first
  ["Ukrainian", "ї", "BracketRight", false, "]"],
  ["Greek", "ψ", "KeyC", false, "c"],
  ["Arabic", "س", "KeyS", false, "s"],
  ["Arabic", "لا", "KeyB", false, "b"], // one key, two letters
  ["Arabic", "ِ", "KeyA", true, "a"], // a mark over letters
  ["Arabic", "؟", "Slash", true, "?"],
  ["Arabic", "٢", "Digit2", false, "2"],
  ["Hebrew", "ד", "KeyS", false, "s"],
  ["Thai", "ห", "KeyS", false, "s"],
  ["German", "ü", "BracketLeft", false, "ü"], // our own letters are where they are written
  ["German", "z", "KeyY", false, "z"],
  ["French", "a", "KeyQ", false, "a"],
  ["French", ",", "KeyM", false, ","],
  ["Spanish", "ñ", "Semicolon", false, "ñ"],
  ["Spanish", "¿", "Equal", true, "¿"],
  ["any", "ArrowLeft", "ArrowLeft", false, "ArrowLeft"],
  ["Russian", "э", "Quote", false, "э"], // bound to nothing on ours
])("on a keyboard of %s, %j at %s (Shift: %j) is %j", (_, key, code, shiftKey, expected) => {
  expect(keyOf({ key, code, shiftKey })).toBe(expected);
});

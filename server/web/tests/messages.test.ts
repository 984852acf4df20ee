import { expect, test } from "vitest";

import { en } from "@/lib/messages/en";

test("milliseconds below a second, tenths of a second above", () => {
  expect([0.4, 38.6, 999, 1000, 1540, 61_234].map(en.duration)).toEqual([
    "0 ms",
    "39 ms",
    "999 ms",
    "1.0 s",
    "1.5 s",
    "61.2 s",
  ]);
});

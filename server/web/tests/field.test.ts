import { expect, test } from "vitest";

import { insideOf, outlinesOf } from "@/lib/field";

function drawn(text: string, width: number, height: number): string[] {
  const inside = insideOf(outlinesOf(text), { width, height });
  return Array.from({ length: height }, (_, y) => inside.subarray(y * width, (y + 1) * width).join(""));
}

test("an outline holds its corners, and all between them", () => {
  expect(drawn("0,0 3,0 3,2 0,2", 4, 3)).toEqual(["1111", "1111", "1111"]);
  // As OpenCV's fillConvexPoly draws it.
  expect(drawn("3,0 6,3 3,6 0,3", 7, 7)).toEqual([
    "0001000",
    "0011100",
    "0111110",
    "1111111",
    "0111110",
    "0011100",
    "0001000",
  ]);
});

test("two fields of view are two outlines", () => {
  expect(drawn("0,0 1,0 1,1 0,1 | 3,0 4,0 4,1 3,1", 5, 2)).toEqual(["11011", "11011"]);
  expect(outlinesOf("")).toEqual([]);
});

import { expect, test } from "vitest";

import { copyWidthOn } from "@/lib/copies";

test.each([
  [1170, 640], // a phone of 390 × 3
  [1920, 640],
  [3840, 768],
  [5120, 1024],
  [7680, 1280], // and no more: memory is bounded
])("on a screen of %i px a copy has %i", (screen, copy) => {
  expect(copyWidthOn(screen)).toBe(copy);
  if (screen < 7000) expect(copy).toBeGreaterThanOrEqual(screen / 5);
});

import { expect, test } from "vitest";

import { reducedFor } from "@/lib/reduce";

test("a picture is drawn from the smallest half that is large enough, and nothing is left out", () => {
  const [whole, half, quarter] = ["whole", "half", "quarter"].map((name) => name as unknown as OffscreenCanvas);
  const at = (scale: number, halves = [half!, quarter!]) => reducedFor(whole!, halves, scale);
  expect(at(2)).toEqual({ image: "whole", smooth: "low" });
  expect(at(0.51)).toEqual({ image: "whole", smooth: "low" });
  expect(at(0.5)).toEqual({ image: "half", smooth: "low" });
  expect(at(0.22)).toEqual({ image: "quarter", smooth: "low" });
  expect(at(0.1)).toEqual({ image: "quarter", smooth: "medium" }); // smaller than half of the last
  expect(at(0.22, [])).toEqual({ image: "whole", smooth: "medium" });
});

import { expect, test } from "vitest";

import { qualityOf } from "@/lib/quality";

test("a verdict comes alone or with its reasons; a photograph that was not judged has none", () => {
  expect(qualityOf("good")).toEqual({ verdict: "good", reasons: [] });
  expect(qualityOf("usable: blurred, no_edge")).toEqual({ verdict: "usable", reasons: ["blurred", "no_edge"] });
  expect(qualityOf("reject: not_a_fundus")).toEqual({ verdict: "reject", reasons: ["not_a_fundus"] });
  for (const text of ["", "splendid", "usable:"]) expect(qualityOf(text)).toBeNull();
});

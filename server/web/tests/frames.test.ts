import { expect, test } from "vitest";

import { frameOf, isDicom } from "@/lib/frames";

test("the server says which photograph of how many; anything else is none", () => {
  expect(frameOf("3/12")).toEqual({ number: 3, of: 12 });
  for (const text of ["", "3", "3 of 12", "-1/2"]) expect(frameOf(text)).toBeNull();
});

test("a DICOM file is known by its letters behind the preamble, whatever it is called", async () => {
  expect(await isDicom(new Blob([new Uint8Array(128), "DICM", new Uint8Array(9)]))).toBe(true);
  for (const parts of [["DICM"], [new Uint8Array(127), "DICM"], []]) expect(await isDicom(new Blob(parts))).toBe(false);
});

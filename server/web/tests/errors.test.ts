import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { ApiError, trouble } from "@/lib/errors";

const UNKNOWN = "The photograph could not be analysed";

test.each([
  ["FieldOfViewError", "No retina could be found", null],
  ["BusyError", "The server is busy", "retry"],
  ["Unreachable", "The server could not be reached", "retry"],
  ["KeyNeeded", "This server asks for a key", "key"],
])("%s is told in words", (type, title, remedy) => {
  expect(trouble(new ApiError(type, "the server's words"))).toMatchObject({
    title,
    remedy,
    detail: "the server's words",
  });
});

test.each([
  ["ImageDecodeError", "This file could not be opened as a photograph"],
  ["ImageTooLargeError", "This photograph is too large"],
])("%s is told by its cause: in the words of the server, as a sentence", (type, title) => {
  const said = "the file is HEIC, which is not read. Save it as JPEG.";
  const advice = "The file is HEIC, which is not read. Save it as JPEG.";
  expect(trouble(new ApiError(type, said))).toEqual({ title, advice, detail: "", remedy: null });
});

test("whatever else happens has words too", () => {
  expect(trouble(new TypeError("x is undefined"))).toMatchObject({ title: UNKNOWN, detail: "x is undefined" });
  expect(trouble("odd")).toMatchObject({ title: UNKNOWN, detail: "odd" });
});

test("the types are those that the library and the server raise", () => {
  const sources = ["../../runtime/errors.py", "../../server/http/errors.py"].map((file) =>
    readFileSync(new URL(`../${file}`, import.meta.url), "utf-8"),
  );
  for (const type of ["ImageDecodeError", "ImageTooLargeError", "FieldOfViewError", "BusyError", "NotReadyError"]) {
    expect(sources.join()).toContain(type);
    expect(trouble(new ApiError(type, "")).title).not.toBe(UNKNOWN);
  }
});

import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { ApiError, failure, trouble, wordsOf } from "@/lib/errors";
import { en } from "@/lib/messages/en";

/** What is told of an error. */
function told(error: unknown) {
  const found = trouble(error);
  return { ...wordsOf(found, en), remedy: found.remedy };
}

const UNKNOWN = "The photograph could not be analysed";

test.each([
  ["FieldOfViewError", "No retina could be found", null],
  ["BusyError", "The server is busy", "retry"],
  ["Unreachable", "The server could not be reached", "retry"],
  ["KeyNeeded", "This server asks for a key", "key"],
])("%s is told in words", (type, title, remedy) => {
  expect(told(new ApiError(type, "the server's words"))).toMatchObject({
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
  expect(told(new ApiError(type, said))).toEqual({ title, advice, detail: "", lang: "en", remedy: null });
});

test("whatever else happens has words too", () => {
  expect(told(new TypeError("x is undefined"))).toMatchObject({ title: UNKNOWN, detail: "x is undefined" });
  expect(told("odd")).toMatchObject({ title: UNKNOWN, detail: "odd" });
});

test("the types are those that the library and the server raise", () => {
  const sources = ["../../runtime/errors.py", "../../server/http/errors.py"].map((file) =>
    readFileSync(new URL(`../${file}`, import.meta.url), "utf-8"),
  );
  for (const type of ["ImageDecodeError", "ImageTooLargeError", "FieldOfViewError", "BusyError", "NotReadyError"]) {
    expect(sources.join()).toContain(type);
    expect(told(new ApiError(type, "")).title).not.toBe(UNKNOWN);
  }
});

const HTML = "<html><head><title>413 Request Entity Too Large</title></head></html>";

test.each([
  [413, "This photograph is too large for the way to the server"],
  [502, "The server does not answer"],
  [504, "The server took too long"],
  [403, "Access to the server is refused"],
  [200, "Access to the server is refused"], // a page to sign in
  [418, UNKNOWN],
])("status %i of a proxy, which sends HTML, is told by its cause", (status, title) => {
  expect(told(failure(status, HTML, false))).toMatchObject({ title });
});

test("a key that is missing is not a key that is wrong", () => {
  const body = JSON.stringify({ error: { type: "RequestError", message: "an API key is needed." } });
  expect(told(failure(401, body, false))).toMatchObject({ title: "This server asks for a key", remedy: "key" });
  expect(told(failure(401, body, true))).toMatchObject({ title: "That is not the server’s key", remedy: "key" });
});

test("the server's own 413 is told in its own words", () => {
  const body = JSON.stringify({ error: { type: "ImageTooLargeError", message: "the file has 90 MB." } });
  expect(told(failure(413, body, false))).toMatchObject({ advice: "The file has 90 MB." });
});

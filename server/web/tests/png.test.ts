import { deflateSync } from "node:zlib";

import { expect, test } from "vitest";

import { decodeGreyPng } from "@/lib/png";

const WIDTH = 7;
const HEIGHT = 10;
const PIXELS = Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => (i * i * 37 + i * 11) & 255);

/** One byte of a row as a filter of the PNG specification writes it, section 9.2. */
function filtered(filter: number, x: number, y: number): number {
  const at = (x: number, y: number) => (x < 0 || y < 0 ? 0 : PIXELS[y * WIDTH + x]!);
  const [left, above, corner] = [at(x - 1, y), at(x, y - 1), at(x - 1, y - 1)];
  const estimate = left + above - corner;
  const nearest = [left, above, corner].sort((a, b) => Math.abs(estimate - a) - Math.abs(estimate - b))[0]!;
  return (at(x, y) - [0, left, above, (left + above) >> 1, nearest][filter]!) & 255;
}

function chunk(kind: string, data: Uint8Array): number[] {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, data.length);
  return [...length, ...Buffer.from(kind), ...data, 0, 0, 0, 0];
}

/** Row y has filter y mod 5. `parts`: into how many chunks the data is cut. */
function encode({ depth = 8, colour = 0, interlace = 0, parts = 1, filter = (y: number) => y % 5 } = {}): Blob {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, WIDTH);
  new DataView(header.buffer).setUint32(4, HEIGHT);
  header.set([depth, colour, 0, 0, interlace], 8);
  const rows = Array.from({ length: HEIGHT }, (_, y) => [
    filter(y),
    ...Array.from({ length: WIDTH }, (_, x) => filtered(filter(y) % 5, x, y)),
  ]);
  const data = deflateSync(Uint8Array.from(rows.flat()));
  const size = Math.ceil(data.length / parts);
  const cuts = Array.from({ length: parts }, (_, i) => data.subarray(i * size, (i + 1) * size));
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  const body = cuts.flatMap((part) => chunk("IDAT", part));
  return new Blob([
    Uint8Array.from([...signature, ...chunk("IHDR", header), ...body, ...chunk("IEND", new Uint8Array())]),
  ]);
}

test.each([1, 3])("all five filters give the bytes back, data in %i chunks", async (parts) => {
  expect(await decodeGreyPng(encode({ parts }))).toEqual({ width: WIDTH, height: HEIGHT, values: PIXELS });
});

test.each([
  [{ depth: 16 }, "not a plain 8-bit grey PNG"],
  [{ colour: 2 }, "not a plain 8-bit grey PNG"],
  [{ interlace: 1 }, "not a plain 8-bit grey PNG"],
  [{ filter: () => 5 }, "a PNG with an unknown filter"],
])("%j is refused", async (kind, message) => {
  await expect(decodeGreyPng(encode(kind))).rejects.toThrow(message);
});

test("what is no PNG, or is cut off, is refused", async () => {
  await expect(decodeGreyPng(new Blob(["<html>"]))).rejects.toThrow("not a PNG");
  await expect(decodeGreyPng(encode().slice(0, -30))).rejects.toThrow();
});

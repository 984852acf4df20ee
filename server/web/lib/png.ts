import { crcOf } from "@/lib/crc";
import { breather } from "@/lib/idle";
import type { Size } from "@/lib/viewport";

/** One byte a pixel, row by row. */
export interface Grey {
  readonly width: number;
  readonly height: number;
  readonly values: Uint8Array<ArrayBuffer>;
}

const PIECE = 2 ** 13; // compressed bytes that are inflated at a time: of a black map up to 8 MB
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Decodes an 8-bit grey PNG to exactly the bytes that were encoded.
 *
 * A canvas would not do: browsers that guard against fingerprinting add noise to what they read back, some limit its
 * size, and it takes four times the memory. The inflating is the browser's own.
 *
 * Throws for another kind of PNG and for a damaged one.
 */
export async function decodeGreyPng(file: Blob): Promise<Grey> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const view = new DataView(bytes.buffer);
  if (SIGNATURE.some((value, index) => bytes[index] !== value)) throw new Error("not a PNG");
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [depth, colour, , , interlace] = bytes.subarray(24, 29);
  if (depth !== 8 || colour !== 0 || interlace !== 0) throw new Error("not a plain 8-bit grey PNG");
  const data = await inflate(chunksOf(bytes, view, "IDAT"), height * (width + 1));
  return { width, height, values: await unfilter(data, width, height) };
}

/** The texts of a PNG (chunk tEXt) by their keywords. */
export async function pngTexts(file: Blob): Promise<ReadonlyMap<string, string>> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const texts = chunksOf(bytes, new DataView(bytes.buffer), "tEXt").map((chunk) => {
    const [keyword = "", text = ""] = new TextDecoder("latin1").decode(chunk).split("\0");
    return [keyword, text] as const;
  });
  return new Map(texts);
}

/** An 8-bit grey PNG of these rows, each with the number of its filter before it. */
export async function greyPng({ width, height }: Size, rows: Uint8Array<ArrayBuffer>): Promise<Blob> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  view.setUint8(8, 8); // bits; all that follows is 0: grey, deflated, filtered, not interlaced
  const stream = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(stream).arrayBuffer());
  const chunks = [chunkOf("IHDR", header), chunkOf("IDAT", data), chunkOf("IEND", new Uint8Array())];
  return new Blob([Uint8Array.from(SIGNATURE), ...chunks.flat()], { type: "image/png" });
}

/** Length, kind, data and check of a chunk. */
export function chunkOf(kind: string, data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, data.length);
  head.set(new TextEncoder().encode(kind), 4);
  const tail = new Uint8Array(4);
  new DataView(tail.buffer).setUint32(0, crcOf(data, crcOf(head.subarray(4))));
  return [head, data, tail];
}

function chunksOf(bytes: Uint8Array<ArrayBuffer>, view: DataView, wanted: string): Uint8Array<ArrayBuffer>[] {
  const parts = [];
  for (let place = 8; place + 12 <= bytes.length; ) {
    const length = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (kind === wanted) parts.push(bytes.subarray(place + 8, place + 8 + length));
    place += 12 + length;
  }
  return parts;
}

/**
 * The bytes that were compressed, `length` of them. A browser inflates on the page's own thread all that it is given at once:
 * it is given little at a time.
 */
async function inflate(parts: Uint8Array<ArrayBuffer>[], length: number): Promise<Uint8Array> {
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  const feed = async () => {
    for (const part of parts)
      for (let from = 0; from < part.length; from += PIECE) await writer.write(part.subarray(from, from + PIECE));
    await writer.close();
  };
  const feeding = feed();
  feeding.catch(() => undefined); // the reader is told of it too
  const data = new Uint8Array(length);
  const breathe = breather();
  const reader = readable.getReader();
  let place = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (place + value.length > length) throw new Error("a PNG of the wrong length");
    data.set(value, place);
    place += value.length;
    await breathe();
  }
  await feeding;
  if (place < length) throw new Error("a PNG of the wrong length");
  return data;
}

/** Undoes the filters of the PNG specification, section 9.2; `data` has the filter's number before each row. */
async function unfilter(data: Uint8Array, width: number, height: number): Promise<Uint8Array<ArrayBuffer>> {
  const breathe = breather();
  const values = new Uint8Array(width * height);
  let above = new Uint8Array(width);
  for (let y = 0; y < height; y++) {
    const row = values.subarray(y * width, (y + 1) * width);
    const start = y * (width + 1);
    row.set(data.subarray(start + 1, start + 1 + width));
    switch (data[start]) {
      case 0:
        break;
      case 1:
        for (let x = 1; x < width; x++) row[x]! += row[x - 1]!;
        break;
      case 2:
        for (let x = 0; x < width; x++) row[x]! += above[x]!;
        break;
      case 3:
        for (let x = 0; x < width; x++) row[x]! += ((x ? row[x - 1]! : 0) + above[x]!) >> 1;
        break;
      case 4:
        for (let x = 0; x < width; x++) {
          row[x]! += paeth(x ? row[x - 1]! : 0, above[x]!, x ? above[x - 1]! : 0);
        }
        break;
      default:
        throw new Error("a PNG with an unknown filter");
    }
    above = row;
    await breathe();
  }
  return values;
}

function paeth(left: number, above: number, corner: number): number {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

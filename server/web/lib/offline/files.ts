import type { Format, Look } from "@/lib/api";
import { photographOf } from "@/lib/decoded";
import { ApiError } from "@/lib/errors";
import { chunkOf, decodeGreyPng, type Grey, greyPng } from "@/lib/png";
import { cut } from "@/lib/probability";

const PNG_HEAD = 33; // bytes of signature and header, which stand first; a text may follow
const AS_THE_MODEL = 128; // the value of a correction where the map is right

/** The map of a photograph, and what a person has corrected in it: grey PNGs of its size. */
export interface Found {
  readonly map: Blob;
  readonly correction: Blob | null;
}

/** A file of results, with the pixels and texts that the server's own has. Rejects with ApiError. */
export async function fileOf(photograph: File, format: Format, look: Look, found: Found): Promise<Blob> {
  const { threshold, colour } = look.layers[0]!;
  const map = await decodeGreyPng(found.map);
  const drawn = found.correction && (await decodeGreyPng(found.correction)).values;
  const vessel = map.values.map((value, at) => {
    const said = drawn?.[at] ?? AS_THE_MODEL;
    return (said === AS_THE_MODEL ? value : said) >= cut(threshold) ? 255 : 0;
  });
  const mask = { ...map, values: vessel };
  const file = format === "mask" ? await pngOf(mask) : await overlay(photograph, mask, colour, look.opacity);
  const texts = [`Threshold\0${threshold}`, ...(drawn ? ["Corrected\0true"] : [])];
  const chunks = texts.flatMap((text) => chunkOf("tEXt", new TextEncoder().encode(text)));
  return new Blob([file.slice(0, PNG_HEAD), ...chunks, file.slice(PNG_HEAD)], { type: "image/png" });
}

/** An 8-bit grey PNG, whose rows are stored as what differs from the row above: maps and masks change little. */
export function pngOf(image: Grey): Promise<Blob> {
  const { width, height, values } = image;
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    const [from, to] = [y * width, y * (width + 1)];
    rows[to] = 2; // this filter
    for (let x = 0; x < width; x++) rows[to + 1 + x] = values[from + x]! - (values[from + x - width] ?? 0);
  }
  return greyPng(image, rows);
}

/** As runtime/output/pictures.py draws it. */
async function overlay(photograph: File, mask: Grey, colour: string, opacity: number): Promise<Blob> {
  const bitmap = await photographOf(photograph);
  if (!bitmap) throw new ApiError("ImageDecodeError", "This browser can’t read it any more.");
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const paint = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  mask.values.forEach((vessel, at) => {
    if (!vessel) return;
    for (const [channel, value] of paint.entries())
      image.data[4 * at + channel] = Math.floor(image.data[4 * at + channel]! * (1 - opacity) + value * opacity + 0.5);
  });
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob();
}

import { densities, type Layer, type Maps } from "@/lib/classes";
import { copyWidth } from "@/lib/copies";
import { type Corrected, correctedMaps } from "@/lib/corrected";
import { winnerOf } from "@/lib/coverage";
import { mapOf, mapsOf } from "@/lib/decoded";
import { insideOf } from "@/lib/field";
import { breather } from "@/lib/idle";
import { cut } from "@/lib/probability";
import type { Cover, Result } from "@/lib/strip";
import type { Size } from "@/lib/viewport";

/** The vessels of a result, as the worklist lays them over the reduced copy. `layers`: of all its classes. */
export async function coverOf(
  result: Result,
  layers: readonly Layer[],
  corrected: Corrected | null,
): Promise<Omit<Cover, "of">> {
  const { exclusive, outlines, width, height } = result;
  const maps = correctedMaps(mapsOf(await mapOf(result.map), layers.length), corrected);
  const across = copyWidth();
  const size = { width: across, height: Math.max(1, Math.round((across * height) / width)) };
  const shares = await vesselShares(
    { maps, exclusive },
    layers.map(({ threshold }) => cut(threshold)),
    size,
  );
  const masks = await Promise.all(shares.map((values) => maskImage(values, size)));
  const inside = result.counts || !outlines.length ? null : insideOf(outlines, { width, height });
  return {
    masks: masks.map((mask) => URL.createObjectURL(mask)),
    shares: inside && (await densities({ maps, exclusive }, layers, inside)),
  };
}

export function revokeCover(cover: Omit<Cover, "of"> | null): void {
  for (const mask of cover?.masks ?? []) URL.revokeObjectURL(mask);
}

/** Of each class and each pixel of a reduced copy the share of the map's pixels below it that are vessel, 0..255. */
export async function vesselShares(
  { maps, exclusive }: Maps,
  cuts: readonly number[],
  { width, height }: Size,
): Promise<Uint8Array[]> {
  const [first] = maps;
  if (!first) return [];
  const breathe = breather();
  const columns = Uint16Array.from({ length: first.width }, (_, x) => Math.floor((x * width) / first.width));
  const counts = maps.map(() => new Uint32Array(width * height));
  const all = new Uint32Array(width * height);
  const classes = maps.map(({ values }) => ({ bytes: values }));
  for (let y = 0, pixel = 0; y < first.height; y++) {
    const row = Math.floor((y * height) / first.height) * width;
    for (let x = 0; x < first.width; x++, pixel++) {
      const place = row + columns[x]!;
      all[place]!++;
      if (exclusive) {
        const winner = winnerOf(classes, cuts, pixel);
        if (winner >= 0) counts[winner]![place]!++;
      } else {
        for (let number = 0; number < cuts.length; number++)
          if (classes[number]!.bytes[pixel]! >= cuts[number]!) counts[number]![place]!++;
      }
    }
    await breathe();
  }
  const shares = counts.map((count) => new Uint8Array(count.length));
  for (let place = 0; place < all.length; place++) {
    for (let number = 0; number < counts.length; number++)
      shares[number]![place] = Math.round((255 * counts[number]![place]!) / (all[place] || 1));
    if (place % width === 0) await breathe();
  }
  return shares;
}

/** An image that is as opaque as the values say. */
async function maskImage(values: Uint8Array, { width, height }: Size): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const breathe = breather();
  for (let place = 0; place < values.length; place++) {
    image.data[4 * place + 3] = values[place]!;
    if (place % width === 0) await breathe();
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

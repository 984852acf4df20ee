import { decodeGreyPng, type Grey } from "@/lib/png";
import { halvesOf } from "@/lib/reduce";

const KEPT = 3; // a decoded photograph of 12 megapixels takes 48 MB, its reduced ones a third of that
const LEAST = 320; // px: no view is smaller

const photographs = new Map<Blob, Promise<ImageBitmap | null>>();
const reduced = new Map<Blob, Promise<OffscreenCanvas[]>>();
const maps = new Map<Blob, Promise<Grey>>();

/** Null where the browser can't show files of this kind. */
export const photographOf = remembered(photographs, (file) => createImageBitmap(file).catch(() => null));

/** The same reduced: `halvesOf`. */
export const reducedOf = remembered(reduced, async (file) => {
  const photograph = await photographOf(file);
  return photograph ? halvesOf(photograph, LEAST) : [];
});

/** The maps of all classes, one below the other. */
export const mapOf = remembered(maps, decodeGreyPng);

/** The maps of `count` classes, without a copy. */
export function mapsOf({ width, height, values }: Grey, count: number): Grey[] {
  const size = values.length / count;
  return Array.from({ length: count }, (_, number) => ({
    width,
    height: height / count,
    values: values.subarray(number * size, (number + 1) * size),
  }));
}

/** What is remembered of a file. */
export function forget(file: Blob): void {
  photographs.delete(file);
  reduced.delete(file);
  maps.delete(file);
}

/** The same, without doing the work again for the last few files. */
function remembered<T>(kept: Map<Blob, Promise<T>>, load: (file: Blob) => Promise<T>): (file: Blob) => Promise<T> {
  return (file) => {
    const found = kept.get(file) ?? load(file);
    kept.delete(file);
    kept.set(file, found);
    const [oldest] = kept.keys();
    if (kept.size > KEPT && oldest) kept.delete(oldest);
    return found;
  };
}

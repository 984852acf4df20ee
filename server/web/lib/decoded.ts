import { decodeGreyPng } from "@/lib/png";

const KEPT = 3; // a decoded photograph of 12 megapixels takes 48 MB

/** Null where the browser can't show files of this kind. */
export const photographOf = remembered((file: Blob) => createImageBitmap(file).catch(() => null));

export const mapOf = remembered(decodeGreyPng);

/** The same, without doing the work again for the last few files. */
function remembered<T>(load: (file: Blob) => Promise<T>): (file: Blob) => Promise<T> {
  const kept = new Map<Blob, Promise<T>>();
  return (file) => {
    const found = kept.get(file) ?? load(file);
    kept.delete(file);
    kept.set(file, found);
    const [oldest] = kept.keys();
    if (kept.size > KEPT && oldest) kept.delete(oldest);
    return found;
  };
}

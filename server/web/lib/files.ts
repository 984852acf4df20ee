/** What the server reads, for file pickers. Phones then offer the camera and the library. */
export const ACCEPT = "image/*,.tif,.tiff";

/** The files among these that may be photographs; the server judges their content. */
export function photographsIn(files: Iterable<File>): File[] {
  return [...files].filter(
    ({ name, type }) => type.startsWith("image/") || /\.(tiff?|jpe?g|png|bmp|webp|gif)$/i.test(name),
  );
}

/** Hands a file to the browser's downloads. */
export function save(file: Blob, name: string): void {
  const href = URL.createObjectURL(file);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  // The browser reads it after this call has returned, and does not say when it is done.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

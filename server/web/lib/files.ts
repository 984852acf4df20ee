import { analyst } from "@/lib/analyst";

/** Photographs, and outlines that are read back, for file pickers. Phones then offer the camera and the library. */
export const ACCEPT = ["image/*", ...analyst.suffixes, ".geojson"].join();

/** The files among these that may be photographs; the server judges their content. */
export function photographsIn(files: Iterable<File>): File[] {
  return [...files].filter(
    ({ name, type }) => type.startsWith("image/") || /\.(tiff?|jpe?g|png|bmp|webp|gif|dcm|geojson)$/i.test(name),
  );
}

/** What was dropped: files of any kind, for each is told what is wrong with it, and of a folder the photographs in it. */
export async function droppedFiles({ items }: DataTransfer): Promise<File[]> {
  // All are asked before the first is waited for: after the event nothing is left of them.
  const found = [...items].map((item) => {
    const entry = item.webkitGetAsEntry();
    return entry?.isDirectory ? photographsOf(entry as FileSystemDirectoryEntry) : item.getAsFile();
  });
  return (await Promise.all(found)).flat().filter((file) => file !== null);
}

async function photographsOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break; // it gives some at a time
    entries.push(...some);
  }
  const files = entries.filter(({ isFile }) => isFile).sort((a, b) => (a.name < b.name ? -1 : 1));
  const fileOf = (entry: FileSystemEntry) =>
    new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  return photographsIn(await Promise.all(files.map(fileOf)));
}

/** Hands a file to the browser's downloads. */
export function save(file: Blob, name: string): void {
  const href = URL.createObjectURL(file);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  // The browser reads it after this call has returned, and does not say when it is done.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

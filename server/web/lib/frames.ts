/** Which photograph of its file it is, from 1, and how many the file holds: a DICOM file may hold several. */
export interface Frame {
  readonly number: number;
  readonly of: number;
}

/** As the server sends it: "3/12". Null of files that are not DICOM. */
export function frameOf(text: string): Frame | null {
  const [, number, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  return number && of ? { number: Number(number), of: Number(of) } : null;
}

/** The name of a photograph, in any language: that of its file, and which of the file's photographs it is. */
export function nameOf({ file, frame }: { readonly file: File; readonly frame: Frame | null }): string {
  return frame && frame.of > 1 ? `${file.name} · ${frame.number}/${frame.of}` : file.name;
}

/** Whether a file begins as DICOM files do. */
export async function isDicom(file: Blob): Promise<boolean> {
  return (await file.slice(128, 132).text()) === "DICM";
}

/** A file in a ZIP file, as it is: nothing is compressed, for what is put into these is compressed already. */
export interface ZipEntry {
  readonly name: string;
  readonly crc: number;
  readonly content: Blob;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const VERSION = 20;
const UTF8 = 0x0800;
const STORED = 0;

/**
 * The files in a ZIP file that the server made. Their contents are parts of it: nothing is copied.
 *
 * Throws for one that is compressed, or larger than 4 GB.
 */
export async function zipEntries(zip: Blob): Promise<ZipEntry[]> {
  const read = async (from: number, length: number) => new DataView(await zip.slice(from, from + length).arrayBuffer());
  const end = await read(zip.size - END_BYTES, END_BYTES);
  if (end.byteLength < END_BYTES || end.getUint32(0, true) !== END) throw new Error("not a ZIP file that is whole");
  const list = await read(end.getUint32(16, true), end.getUint32(12, true));
  const entries: ZipEntry[] = [];
  for (let place = 0; place < list.byteLength; ) {
    if (list.getUint32(place, true) !== ENTRY) throw new Error("a ZIP file with a damaged list");
    const [method, crc, size, nameLength, extra, comment, start] = [
      list.getUint16(place + 10, true),
      list.getUint32(place + 16, true),
      list.getUint32(place + 24, true),
      list.getUint16(place + 28, true),
      list.getUint16(place + 30, true),
      list.getUint16(place + 32, true),
      list.getUint32(place + 42, true),
    ];
    if (method !== STORED) throw new Error("a ZIP file that is compressed");
    const name = new TextDecoder().decode(new Uint8Array(list.buffer, place + ENTRY_BYTES, nameLength));
    const local = await read(start, LOCAL_BYTES); // whose extra fields differ from those of the list
    const from = start + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
    entries.push({ name, crc, content: zip.slice(from, from + size) });
    place += ENTRY_BYTES + nameLength + extra + comment;
  }
  return entries;
}

/** A ZIP file of these, which together have less than 4 GB. */
export function zipOf(entries: readonly ZipEntry[], time = new Date()): Blob {
  const parts: BlobPart[] = [];
  const list: BlobPart[] = [];
  let place = 0;
  let listed = 0;
  for (const { name, crc, content } of entries) {
    const bytes = new TextEncoder().encode(name);
    const facts = { crc, size: content.size, nameLength: bytes.length, time };
    parts.push(localHeader(facts), bytes, content);
    list.push(listHeader(facts, place), bytes);
    place += LOCAL_BYTES + bytes.length + content.size;
    listed += ENTRY_BYTES + bytes.length;
  }
  return new Blob([...parts, ...list, endOf(entries.length, listed, place)], { type: "application/zip" });
}

interface Facts {
  readonly crc: number;
  readonly size: number;
  readonly nameLength: number;
  readonly time: Date;
}

function localHeader(facts: Facts): ArrayBuffer {
  const header = new DataView(new ArrayBuffer(LOCAL_BYTES));
  header.setUint32(0, LOCAL, true);
  setFacts(header, 4, facts);
  return header.buffer;
}

function listHeader(facts: Facts, place: number): ArrayBuffer {
  const header = new DataView(new ArrayBuffer(ENTRY_BYTES));
  header.setUint32(0, ENTRY, true);
  header.setUint16(4, VERSION, true);
  setFacts(header, 6, facts);
  header.setUint32(42, place, true);
  return header.buffer;
}

/** What both headers say of a file. */
function setFacts(header: DataView, from: number, { crc, size, nameLength, time }: Facts): void {
  header.setUint16(from, VERSION, true);
  header.setUint16(from + 2, UTF8, true);
  header.setUint16(from + 4, STORED, true);
  header.setUint16(from + 6, (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1), true);
  const year = Math.max(0, time.getFullYear() - 1980);
  header.setUint16(from + 8, (year << 9) | ((time.getMonth() + 1) << 5) | time.getDate(), true);
  header.setUint32(from + 10, crc, true);
  header.setUint32(from + 14, size, true);
  header.setUint32(from + 18, size, true);
  header.setUint16(from + 22, nameLength, true);
}

function endOf(count: number, listed: number, place: number): ArrayBuffer {
  const end = new DataView(new ArrayBuffer(END_BYTES));
  end.setUint32(0, END, true);
  end.setUint16(8, count, true);
  end.setUint16(10, count, true);
  end.setUint32(12, listed, true);
  end.setUint32(16, place, true);
  return end.buffer;
}

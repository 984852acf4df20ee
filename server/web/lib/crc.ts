import { breather } from "@/lib/idle";

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});
const SLICE = 2 ** 16; // bytes: less than a millisecond

/** The CRC-32 of bytes, as PNG and ZIP have it; `before`: that of the bytes before them. */
export function crcOf(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** That of a file. */
export async function crcOfFile(file: Blob): Promise<number> {
  const breathe = breather();
  const bytes = new Uint8Array(await file.arrayBuffer());
  let crc = 0;
  for (let from = 0; from < bytes.length; from += SLICE) {
    crc = crcOf(bytes.subarray(from, from + SLICE), crc);
    await breathe();
  }
  return crc;
}

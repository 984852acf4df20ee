/** A DICOM element with an explicit VR, little endian. */
function element(tag: number, vr: string, value: Buffer | string | number): Buffer {
  const long = vr === "OB" || vr === "OW";
  const bytes = typeof value === "number" ? u16(value) : Buffer.from(value as string, "latin1");
  const even = Buffer.concat([bytes, Buffer.from(bytes.length % 2 ? (vr === "UI" ? "\0" : " ") : "", "latin1")]);
  const head = Buffer.alloc(long ? 12 : 8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.write(vr, 4, "latin1");
  if (long) head.writeUInt32LE(even.length, 8);
  else head.writeUInt16LE(even.length, 6);
  return Buffer.concat([head, even]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/** The colour in the middle of each photograph of `discsDicom`. */
export const DISCS = [
  [200, 90, 40],
  [170, 80, 50],
  [150, 60, 30],
] as const;

/** A DICOM file of photographs of a disc on black: Secondary Capture in colour, without compression. `millimetres`: in a pixel. */
export function discsDicom(discs: readonly (readonly number[])[], millimetres?: number): Buffer {
  const side = 400;
  const pixels = discs.map((colour) => {
    const frame = Buffer.alloc(side * side * 3);
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++)
        if (Math.hypot(x - side / 2, y - side / 2) < 0.45 * side) frame.set(colour, 3 * (y * side + x));
    return frame;
  });
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from("DICM"),
    element(0x0002_0010, "UI", "1.2.840.10008.1.2.1"),
    element(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.7.4"),
    element(0x0008_0018, "UI", "1.2.3.4"),
    element(0x0028_0002, "US", 3),
    element(0x0028_0004, "CS", "RGB"),
    element(0x0028_0006, "US", 0),
    element(0x0028_0008, "IS", String(discs.length)),
    element(0x0028_0010, "US", side),
    element(0x0028_0011, "US", side),
    ...(millimetres ? [element(0x0028_0030, "DS", `${millimetres}\\${millimetres}`)] : []),
    element(0x0028_0100, "US", 8),
    element(0x0028_0101, "US", 8),
    element(0x0028_0102, "US", 7),
    element(0x0028_0103, "US", 0),
    element(0x7fe0_0010, "OW", Buffer.concat(pixels)),
  ]);
}

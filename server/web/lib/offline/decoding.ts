import { ApiError } from "@/lib/errors";
import type { Grey } from "@/lib/png";
import type { Size } from "@/lib/viewport";

import { type Photo, reduced } from "./preparation";

const MOST_PIXELS = 150_000_000; // as of the runtime
const AS_STORED = { colorSpaceConversion: "none", premultiplyAlpha: "none" } as const;

/** A photograph that the browser reads, upright. Rejects with ApiError. */
export async function openPhoto(photograph: Blob): Promise<Photo> {
  const whole = await createImageBitmap(photograph, AS_STORED).catch(() => {
    throw new ApiError("ImageDecodeError", "This browser can’t read it. Save it as JPEG or PNG.");
  });
  const { width, height } = whole;
  if (width * height > MOST_PIXELS)
    throw new ApiError("ImageTooLargeError", `It has ${width} × ${height} pixels. Send one of ${MOST_PIXELS} at most.`);
  const decode = async (factor: number) => {
    if (factor === 1) return channelsOf(whole, whole);
    return (
      (await reducedJpeg(photograph, whole, factor)) ?? channelsOf(whole, whole).map((one) => reduced(one, factor))
    );
  };
  return { width, height, decode };
}

/**
 * A JPEG decoded at 1/2, 1/4 or 1/8 of its size, to the bytes that libjpeg-turbo gives the runtime: Chromium's decoder, which
 * is the same, chooses that transform where no more pixels are wanted. Null of other files, and in browsers that don't.
 */
async function reducedJpeg(photograph: Blob, { width, height }: Size, factor: number): Promise<Grey[] | null> {
  const data = await photograph.arrayBuffer();
  if (typeof ImageDecoder === "undefined" || new DataView(data).getUint16(0) !== 0xffd8) return null;
  const size = { width: Math.ceil(width / factor), height: Math.ceil(height / factor) };
  const wanted = { desiredWidth: size.width, desiredHeight: size.height };
  const decoder = new ImageDecoder({ data, type: "image/jpeg", colorSpaceConversion: "none", ...wanted });
  try {
    const { image } = await decoder.decode();
    const { displayWidth, displayHeight } = image;
    const channels = displayWidth === size.width && displayHeight === size.height ? channelsOf(image, size) : null;
    image.close();
    return channels;
  } catch {
    return null; // what `createImageBitmap` reads is read, if need be as a whole
  } finally {
    decoder.close();
  }
}

/** Red, green and blue. */
function channelsOf(image: ImageBitmap | VideoFrame, { width, height }: Size): Grey[] {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new ApiError("ImageTooLargeError", "This browser has no canvas of that size.");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return [0, 1, 2].map((channel) => {
    const values = new Uint8Array(width * height);
    for (let at = 0; at < values.length; at++) values[at] = data[4 * at + channel]!;
    return { width, height, values };
  });
}

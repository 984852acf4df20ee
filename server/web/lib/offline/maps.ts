import type { Grey } from "@/lib/png";
import type { Size } from "@/lib/viewport";

import { type Box, blank, cutOut, resizeLinear } from "./pixels";
import type { View } from "./preparation";

/**
 * The map of a view, of which nothing is cut into windows: none is much larger than the largest one of the runtime, and
 * for a network of convolutions the result is the same.
 */
export async function mapOf({ pixels }: View, multiple: number, infer: (window: Grey) => Promise<Grey>): Promise<Grey> {
  const whole = (length: number) => Math.ceil(length / multiple) * multiple;
  const { width, height } = pixels;
  const window = cutOut(pixels, { top: 0, left: 0, bottom: whole(height), right: whole(width) });
  return cutOut(await infer(window), { top: 0, left: 0, bottom: height, right: width });
}

/** The map of a photograph of this size from those of its fields of view; 0 outside of them. */
export function placed(found: readonly Grey[], boxes: readonly Box[], size: Size): Grey {
  const result = blank(size);
  found.forEach((map, number) => {
    const { top, left, bottom, right } = boxes[number]!;
    const own = resizeLinear(map, { width: right - left, height: bottom - top });
    for (let y = 0, at = 0; y < own.height; y++) {
      const row = result.values.subarray((top + y) * size.width + left);
      for (let x = 0; x < own.width; x++, at++) row[x] = Math.max(row[x]!, own.values[at]!); // boxes may overlap
    }
  });
  return result;
}

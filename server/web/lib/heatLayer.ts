import type { Coverage } from "@/lib/coverage";
import { HEAT, meansOf } from "@/lib/heat";

/** The colours of `HEAT` as an ImageData holds them. */
const WORDS = Uint32Array.from(HEAT, ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);

/** The levels of some classes as colours, of what is seen of the image on a canvas. They are of one picture and canvas. */
export function heatLayer(classes: readonly Coverage[]): OffscreenCanvas {
  const { width = 1, height = 1 } = classes[0] ?? {};
  const layer = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
  const image = new ImageData(layer.width, layer.height);
  const words = new Uint32Array(image.data.buffer);
  meansOf(classes).forEach((mean, pixel) => {
    words[pixel] = WORDS[mean]!;
  });
  layer.getContext("2d", { willReadFrequently: true })!.putImageData(image, 0, 0);
  return layer;
}

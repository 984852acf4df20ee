import type { Coverage, Rect, Rows } from "@/lib/coverage";
import type { Colour } from "@/lib/renderer";

export const NOTHING: Rows = { top: 0, bottom: 0 };

/** The vessels of a class in one colour, as a layer of the size of what is seen of the image. */
export class Vessels {
  readonly layer = layer();
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  private readonly image: ImageData;
  private readonly words: Uint32Array;
  /** The word for each count. */
  private ink = new Uint32Array(0);
  private look = "";

  constructor(readonly coverage: Coverage) {
    const { left, top, width, height } = coverage;
    this.left = left;
    this.top = top;
    this.width = width;
    this.height = height;
    this.image = new ImageData(Math.max(1, width), Math.max(1, height));
    this.words = new Uint32Array(this.image.data.buffer);
    this.layer.canvas.width = this.image.width;
    this.layer.canvas.height = this.image.height;
  }

  /** Returns the rows of the canvas that have changed. */
  setCut(cut: number, colour: Colour): Rows {
    const { coverage, words } = this;
    const { counts } = coverage;
    const repaint = this.setInk(colour);
    const { ink } = this;
    const rows = coverage.setCut(cut, (pixel) => {
      words[pixel] = ink[counts[pixel]!]!;
    });
    if (repaint) return this.paintAll();
    this.put(rows);
    return { top: this.top + rows.top, bottom: this.top + rows.bottom };
  }

  /** The counts as they are. Returns the rows of the canvas that have changed. */
  paint(colour: Colour, recounted: boolean): Rows {
    return this.setInk(colour) || recounted ? this.paintAll() : NOTHING;
  }

  /** Whether it is another ink than before. */
  private setInk(colour: Colour): boolean {
    const { samples } = this.coverage;
    const look = colour.join();
    if (look === this.look) return false;
    this.look = look;
    this.ink = Uint32Array.from({ length: samples + 1 }, (_, n) => word(n / samples, colour));
    return true;
  }

  private paintAll(): Rows {
    const { counts } = this.coverage;
    const { words, ink } = this;
    for (let pixel = 0; pixel < counts.length; pixel++) words[pixel] = ink[counts[pixel]!]!;
    this.put({ top: 0, bottom: this.height });
    return { top: this.top, bottom: this.top + this.height };
  }

  /** Some of its pixels, whose counts have changed. */
  paintPart({ left, top, right, bottom }: Rect): void {
    const { words, ink, width } = this;
    const { counts } = this.coverage;
    for (let y = top; y < bottom; y++)
      for (let pixel = y * width + left; pixel < y * width + right; pixel++) words[pixel] = ink[counts[pixel]!]!;
    this.layer.putImageData(this.image, 0, 0, left, top, right - left, bottom - top);
  }

  private put({ top, bottom }: Rows): void {
    this.layer.putImageData(this.image, 0, 0, 0, top, this.image.width, bottom - top);
  }
}

/** R, G, B, A as an ImageData holds them; every platform that runs a browser reads them as little-endian words. */
function word(share: number, [red, green, blue]: Colour): number {
  return ((Math.round(255 * share) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** A canvas in main memory that is not shown. */
export function layer(): OffscreenCanvasRenderingContext2D {
  return new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
}

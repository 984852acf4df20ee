import { Coverage, type Rows } from "@/lib/coverage";
import type { Picture, Renderer, Scene } from "@/lib/renderer";
import { origin, type Viewport } from "@/lib/viewport";

/** Draws without a graphics card: what has not changed since the last frame is not computed again. */
export class CanvasRenderer implements Renderer {
  readonly name = "canvas";
  private readonly context: CanvasRenderingContext2D;
  private readonly photograph = layer();
  private picture: Picture = { width: 1, height: 1, photograph: null, map: null };
  private vessels: Vessels | null = null;
  private drawn = "";
  private laidOut = "";

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
  }

  setPicture(picture: Picture): void {
    this.picture = picture;
    this.laidOut = "";
  }

  draw(scene: Scene): void {
    const { canvas, picture } = this;
    const { viewport, view, cut, colour, opacity, wiper, samples } = scene;
    const layout = [canvas.width, canvas.height, viewport.scale, viewport.centre.x, viewport.centre.y, samples].join();
    if (layout !== this.laidOut) {
      this.drawn = "";
      this.laidOut = layout;
      this.layPhotograph(viewport);
      this.vessels = picture.map && new Vessels(new Coverage(picture.map, viewport, canvas, samples));
    }
    const mask = view === "mask";
    const changed = view === "original" ? NOTHING : this.vessels?.set(cut, mask ? null : colour);
    const rest = [view, opacity, wiper, picture.map !== null].join();
    const all = { top: 0, bottom: canvas.height };
    this.compose(scene, rest === this.drawn ? (changed ?? NOTHING) : all);
    this.drawn = rest;
  }

  close(): void {
    this.photograph.canvas.width = this.photograph.canvas.height = 1;
    this.vessels = null;
  }

  private layPhotograph(viewport: Viewport): void {
    const { canvas, picture } = this;
    const context = this.photograph;
    const { scale } = viewport;
    const { x, y } = origin(viewport, canvas);
    context.canvas.width = canvas.width; // clears it
    context.canvas.height = canvas.height;
    if (!picture.photograph) return;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "medium";
    context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
    context.drawImage(picture.photograph, 0, 0);
    context.resetTransform();
  }

  /** Rows of the canvas: the photograph, and over it, right of the wiper, the vessels. */
  private compose({ view, opacity, wiper }: Scene, { top, bottom }: Rows): void {
    const { canvas, context, vessels } = this;
    const { width } = canvas;
    if (top >= bottom) return;
    const left = Math.round(wiper * width);
    const strip = [0, top, width, bottom - top] as const;
    context.clearRect(...strip);
    context.drawImage(this.photograph.canvas, ...strip, ...strip);
    if (!vessels || view === "original" || left >= width) return;
    context.save();
    context.beginPath();
    context.rect(left, top, width - left, bottom - top);
    context.clip();
    context.globalAlpha = view === "mask" ? 1 : opacity;
    context.drawImage(vessels.layer.canvas, vessels.left, vessels.top);
    context.restore();
  }
}

const NOTHING: Rows = { top: 0, bottom: 0 };

/** The vessels in one colour, as a layer of the size of what is seen of the image. */
class Vessels {
  readonly layer = layer();
  readonly left: number;
  readonly top: number;
  private readonly image: ImageData;
  private readonly words: Uint32Array;
  /** The word for each count. */
  private ink = new Uint32Array(0);
  private look = "";

  constructor(private readonly coverage: Coverage) {
    const { left, top, width, height } = coverage;
    this.left = left;
    this.top = top;
    this.image = new ImageData(Math.max(1, width), Math.max(1, height));
    this.words = new Uint32Array(this.image.data.buffer);
    this.layer.canvas.width = this.image.width;
    this.layer.canvas.height = this.image.height;
  }

  /** `colour`: of the overlay; null for white on black. Returns the rows of the canvas that have changed. */
  set(cut: number, colour: Scene["colour"] | null): Rows {
    const { coverage, words } = this;
    const look = String(colour);
    const repaint = look !== this.look;
    if (repaint)
      this.ink = Uint32Array.from({ length: coverage.samples + 1 }, (_, n) => word(n / coverage.samples, colour));
    this.look = look;
    const { counts } = coverage;
    const { ink } = this;
    let rows = coverage.setCut(cut, (pixel) => {
      words[pixel] = ink[counts[pixel]!]!;
    });
    if (repaint) {
      for (let pixel = 0; pixel < counts.length; pixel++) words[pixel] = ink[counts[pixel]!]!;
      rows = { top: 0, bottom: coverage.height };
    }
    this.layer.putImageData(this.image, 0, 0, 0, rows.top, this.image.width, rows.bottom - rows.top);
    return { top: this.top + rows.top, bottom: this.top + rows.bottom };
  }
}

/** R, G, B, A as an ImageData holds them; every platform that runs a browser reads them as little-endian words. */
function word(share: number, colour: Scene["colour"] | null): number {
  const value = Math.round(255 * share);
  const [red, green, blue] = colour ?? [value, value, value];
  return (((colour ? value : 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** A canvas in main memory that is not shown. */
function layer(): OffscreenCanvasRenderingContext2D {
  return new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
}

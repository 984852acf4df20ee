import type { Grey } from "@/lib/png";
import type { Colour, Picture, Renderer, Scene } from "@/lib/renderer";
import { origin, type Viewport } from "@/lib/viewport";

/** Draws without WebGL: what is on the screen is computed pixel by pixel, whatever the size of the photograph. */
export class CanvasRenderer implements Renderer {
  readonly name = "canvas";
  private readonly context: CanvasRenderingContext2D;
  private readonly vessels = new OffscreenCanvas(1, 1);
  private picture: Picture = { width: 1, height: 1, photograph: null, map: null };

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
  }

  setPicture(picture: Picture): void {
    this.picture = picture;
  }

  draw(scene: Scene): void {
    const { canvas, context, picture } = this;
    const { view, viewport, wiper } = scene;
    const left = Math.round(wiper * canvas.width);
    context.globalAlpha = 1;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.drawPhotograph(viewport);
    if (!picture.map || view === "original" || left >= canvas.width) return;
    const colour: Colour = view === "mask" ? [255, 255, 255] : scene.colour;
    const shares = coverage(picture.map, viewport, canvas, left, scene);
    const image = view === "mask" ? opaque(shares) : tinted(shares, colour);
    this.vessels.width = image.width;
    this.vessels.height = image.height;
    this.vessels.getContext("2d")!.putImageData(image, 0, 0);
    context.globalAlpha = view === "mask" ? 1 : scene.opacity;
    context.drawImage(this.vessels, left, 0);
  }

  close(): void {
    this.vessels.width = this.vessels.height = 1;
  }

  private drawPhotograph(viewport: Viewport): void {
    const { canvas, context, picture } = this;
    const { scale } = viewport;
    const { x, y } = origin(viewport, canvas);
    if (!picture.photograph) return;
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "medium";
    context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
    context.drawImage(picture.photograph, 0, 0);
    context.resetTransform();
  }
}

/** Shares 0..255 of vessel for each pixel of the canvas; 0..255 also in `inside`, 0 beside the image. */
interface Shares {
  readonly width: number;
  readonly height: number;
  readonly share: Uint8Array;
  readonly inside: Uint8Array;
}

/** The share of vessel among the pixels of the map that a pixel of the canvas covers, from column `left` on. */
function coverage(map: Grey, viewport: Viewport, canvas: HTMLCanvasElement, left: number, scene: Scene): Shares {
  const width = canvas.width - left;
  const height = canvas.height;
  const side = Math.min(scene.samples, Math.max(1, Math.ceil(1 / viewport.scale)));
  const start = origin(viewport, canvas);
  const columns = positions(start.x, viewport.scale, canvas.width, map.width, side).subarray(left * side);
  const rows = positions(start.y, viewport.scale, canvas.height, map.height, side);
  const share = new Uint8Array(width * height);
  const inside = new Uint8Array(width * height);
  const counts = new Uint16Array(width);
  const weight = 255 / (side * side);
  for (let y = 0; y < height; y++) {
    if (rows[y * side]! < 0) continue;
    counts.fill(0);
    for (let j = 0; j < side; j++) {
      const row = rows[y * side + j]! * map.width;
      for (let x = 0, sample = 0; x < width; x++) {
        for (let i = 0; i < side; i++, sample++) {
          const column = columns[sample]!;
          if (column >= 0 && map.values[row + column]! >= scene.cut) counts[x]!++;
        }
      }
    }
    for (let x = 0; x < width; x++) {
      share[y * width + x] = Math.round(counts[x]! * weight);
      inside[y * width + x] = columns[x * side]! < 0 ? 0 : 255;
    }
  }
  return { width, height, share, inside };
}

/** For each sample of each pixel of an axis of the canvas the pixel of the map; −1 where the pixel is beside the image. */
function positions(start: number, scale: number, length: number, all: number, side: number): Int32Array {
  const result = new Int32Array(length * side);
  for (let pixel = 0; pixel < length; pixel++) {
    const corner = start + pixel / scale;
    const middle = corner + 0.5 / scale;
    for (let i = 0; i < side; i++) {
      const at = Math.floor(corner + (i + 0.5) / side / scale);
      result[pixel * side + i] = middle < 0 || middle >= all ? -1 : Math.min(all - 1, Math.max(0, at));
    }
  }
  return result;
}

// An ImageData's bytes are R, G, B, A; every platform that runs a browser reads them as little-endian words.

function tinted({ width, height, share }: Shares, [red, green, blue]: Colour): ImageData {
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const colour = (blue << 16) | (green << 8) | red;
  for (let i = 0; i < words.length; i++) words[i] = (share[i]! << 24) | colour;
  return image;
}

function opaque({ width, height, share, inside }: Shares): ImageData {
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (inside[i]! << 24) | (share[i]! * 0x010101);
  return image;
}

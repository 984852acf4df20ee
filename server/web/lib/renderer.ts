import { CanvasRenderer } from "@/lib/canvasRenderer";
import { GlRenderer, largestTexture } from "@/lib/glRenderer";
import type { Grey } from "@/lib/png";
import type { Size, Viewport } from "@/lib/viewport";

export type View = "overlay" | "original" | "mask";

/** Red, green and blue, 0..255. */
export type Colour = readonly [number, number, number];

/** All that a frame depends on beside the picture. */
export interface Scene {
  readonly viewport: Viewport;
  readonly view: View;
  /** The least byte of the map that is vessel. */
  readonly cut: number;
  readonly colour: Colour;
  /** 0..1 */
  readonly opacity: number;
  /** Left of this share of the canvas the photograph alone is shown. */
  readonly wiper: number;
  /** Where pixels of the image are smaller than the canvas's: at most this many are looked at, squared, for each. */
  readonly samples: number;
}

/** A decoded photograph and its map, of the same size; one of them may be missing, as a map is before the server answers. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly photograph: ImageBitmap | null;
  readonly map: Grey | null;
}

/** Draws pictures on one canvas. */
export interface Renderer {
  readonly name: "WebGL" | "canvas";
  setPicture(picture: Picture): void;
  draw(scene: Scene): void;
  close(): void;
}

/** WebGL where the browser has it and the picture fits into its textures. A canvas can't change from one to the other. */
export function rendererFor({ width, height }: Size): Renderer["name"] {
  return Math.max(width, height) <= largestTexture() ? "WebGL" : "canvas";
}

export function createRenderer(name: Renderer["name"], canvas: HTMLCanvasElement): Renderer {
  return name === "WebGL" ? new GlRenderer(canvas) : new CanvasRenderer(canvas);
}

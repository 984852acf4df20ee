import { CanvasRenderer } from "@/lib/canvasRenderer";
import type { Maps } from "@/lib/classes";
import type { Edits } from "@/lib/correction";
import type { Rect } from "@/lib/coverage";
import { GlRenderer, largestTexture, MOST_CLASSES } from "@/lib/glRenderer";
import type { Size, Viewport } from "@/lib/viewport";

/** "probability" and "spread" are heat maps: of how probable vessels are, and of how far a model's members differ on it. */
export type View = "overlay" | "original" | "mask" | "probability" | "spread";

/** Whether a view shows levels by the colours of `HEAT`. */
export function isHeat(view: View): boolean {
  return view === "probability" || view === "spread";
}

/** Red, green and blue, 0..255. */
export type Colour = readonly [number, number, number];

/** A class as a frame shows it. */
export interface SceneLayer {
  /** The least byte of its map that belongs to it. */
  readonly cut: number;
  readonly colour: Colour;
  readonly shown: boolean;
}

/** All that a frame depends on beside the picture. */
export interface Scene {
  readonly viewport: Viewport;
  readonly view: View;
  /** One for each map of the picture, drawn one over the other. */
  readonly layers: readonly SceneLayer[];
  /** Whether a sample belongs to one class at most: to the most probable one. */
  readonly exclusive: boolean;
  /** 0..1 */
  readonly opacity: number;
  /** Left of this share of the canvas the photograph alone is shown. */
  readonly wiper: number;
  /** Where pixels of the image are smaller than the canvas's: at most this many are looked at, squared, for each. */
  readonly samples: number;
  /** Whether the picture is being moved: another frame comes at once, and a last one when it rests. */
  readonly moving: boolean;
}

/** A decoded photograph and its maps, of the same size; either may be missing, as maps are before the server answers. */
export interface Picture extends Maps {
  readonly width: number;
  readonly height: number;
  readonly photograph: ImageBitmap | null;
  /** The photograph reduced, for the renderer that needs them: lib/reduce. */
  readonly halves?: readonly OffscreenCanvas[];
  /** Where the maps change while they are looked at. */
  readonly edits?: Edits;
}

/** Draws pictures on one canvas. */
export interface Renderer {
  readonly name: "WebGL" | "canvas";
  setPicture(picture: Picture): void;
  draw(scene: Scene): void;
  /** Draws a part of the picture again, whose maps have changed, in the scene of the last frame. */
  change(rect: Rect): void;
  close(): void;
}

export const NO_PICTURE: Picture = { width: 1, height: 1, photograph: null, maps: [], exclusive: false };

/** In which colour a view shows a class: a mask of one class is white. */
export function inkOf({ view, layers }: Scene, { colour }: SceneLayer): Colour {
  return view === "mask" && layers.length === 1 ? [255, 255, 255] : colour;
}

/** WebGL where the browser has it and the picture fits into its textures. A canvas can't change from one to the other. */
export function rendererFor({ width, height, maps }: Size & Partial<Maps>): Renderer["name"] {
  return Math.max(width, height) <= largestTexture() && (maps?.length ?? 0) <= MOST_CLASSES ? "WebGL" : "canvas";
}

export function createRenderer(name: Renderer["name"], canvas: HTMLCanvasElement): Renderer {
  return name === "WebGL" ? new GlRenderer(canvas) : new CanvasRenderer(canvas);
}

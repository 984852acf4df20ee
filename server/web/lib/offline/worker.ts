import { ApiError } from "@/lib/errors";
import { insideOf, type Outline } from "@/lib/field";
import type { Grey } from "@/lib/png";

import { openPhoto } from "./decoding";
import { pngOf } from "./files";
import { mapOf, placed } from "./maps";
import { loadNetwork, type Network } from "./network";
import { prepareViews } from "./preparation";

/** What the page asks: the map of a photograph, or, without one, how the model is loaded. */
export interface Question {
  readonly photograph?: File;
}

export type Answer =
  | { readonly ready: Omit<Network, "infer"> }
  | { readonly found: Found }
  | { readonly error: { readonly type: string; readonly message: string } };

export interface Found {
  /** The map of the whole photograph, a grey PNG. */
  readonly map: Blob;
  /** How many pixels of the fields of view have each value. */
  readonly levels: number[];
  /** Of the fields of view. */
  readonly outlines: readonly Outline[];
  /** Whether the edge of every field of view was seen. */
  readonly seen: boolean;
  readonly milliseconds: number;
}

let network: Promise<Network> | null = null;

/** Loads the model once; again where that failed. */
function loaded(): Promise<Network> {
  network ??= loadNetwork(new URL("./", import.meta.url)).catch((error: unknown) => {
    network = null;
    throw error;
  });
  return network;
}

addEventListener("message", async ({ data: { photograph } }: MessageEvent<Question>) => {
  try {
    const { infer, ...ready } = await loaded();
    postMessage((photograph ? { found: await find(photograph, { infer, ...ready }) } : { ready }) satisfies Answer);
  } catch (error) {
    const type = error instanceof ApiError ? error.type : "InternalError";
    const message = error instanceof Error ? error.message : String(error);
    postMessage({ error: { type, message } } satisfies Answer);
  }
});

/** `Segmenter.segment` of the runtime. */
async function find(photograph: File, { manifest, infer }: Network): Promise<Found> {
  const start = performance.now();
  const photo = await openPhoto(photograph);
  const views = await prepareViews(photo, manifest.preparation.field_of_view);
  const maps: Grey[] = [];
  for (const view of views) maps.push(await mapOf(view, manifest.tile.multiple, infer));
  const scales = views.map(({ scale }) => scale);
  const boxes = scales.map(({ box }) => box);
  const map = placed(maps, boxes, photo);
  const outlines = scales.map(({ outline }) => outline);
  const levels = new Array<number>(256).fill(0);
  insideOf(outlines, map).forEach((inside, at) => {
    if (inside) levels[map.values[at]!]!++;
  });
  const seen = scales.every(({ seen }) => seen);
  return { map: await pngOf(map), levels, outlines, seen, milliseconds: performance.now() - start };
}

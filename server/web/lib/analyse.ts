import { type Prediction, type PredictOptions, predictFile, predictProbability } from "@/lib/api";
import { mapOf, photographOf } from "@/lib/decoded";
import { ApiError } from "@/lib/errors";
import type { Result } from "@/lib/strip";

const PATIENCE = 30; // tries, a second apart, while the server starts or is busy

/** One photograph to the server and back: the map, and what is told of it. Rejects with ApiError. */
export async function analyse(file: File, options: PredictOptions): Promise<Result> {
  const start = performance.now();
  const [prediction, own] = await Promise.all([patiently(file, options), photographOf(file)]);
  const map = await mapOf(prediction.file);
  // Where the browser can't read the file, or reads it otherwise, the map has its place on what the server reads.
  const same = own?.width === map.width && own.height === map.height;
  const shown = same ? file : await asServerReads(file, options.signal);
  return {
    map: prediction.file,
    photograph: shown,
    width: map.width,
    height: map.height,
    counts: prediction.levels,
    region: prediction.seen ? "field of view" : "image",
    warnings: prediction.warnings,
    threshold: prediction.threshold,
    model: prediction.model,
    device: prediction.device,
    precision: prediction.precision,
    serverTime: prediction.milliseconds,
    totalTime: performance.now() - start,
  };
}

/** The photograph as PNG, upright: an overlay of which nothing is seen. Null where the server does not answer. */
async function asServerReads(file: File, signal: AbortSignal | undefined): Promise<Blob | null> {
  const unseen = { threshold: 1, colour: "#000000", opacity: 0 };
  const answer = await predictFile(file, "overlay", unseen, signal && { signal }).catch(() => null);
  signal?.throwIfAborted();
  return answer?.file ?? null;
}

async function patiently(file: File, options: PredictOptions): Promise<Prediction> {
  for (let left = PATIENCE; ; left--) {
    try {
      return await predictProbability(file, options);
    } catch (error) {
      const passing = error instanceof ApiError && (error.type === "BusyError" || error.type === "NotReadyError");
      if (!passing || left === 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    options.signal?.throwIfAborted();
  }
}

/** A reduced copy as an address for an image; empty where the browser can't show the file. */
export async function thumbnail(file: Blob): Promise<string> {
  const photograph = await createImageBitmap(file).catch(() => null); // not remembered: all of them would not fit
  if (!photograph) return "";
  const side = 160;
  const factor = side / Math.min(photograph.width, photograph.height);
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext("2d")!;
  const width = photograph.width * factor;
  const height = photograph.height * factor;
  context.imageSmoothingQuality = "high";
  context.drawImage(photograph, (side - width) / 2, (side - height) / 2, width, height);
  photograph.close();
  return URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }));
}

import { type Prediction, type PredictOptions, predictProbability } from "@/lib/api";
import { mapOf, photographOf } from "@/lib/decoded";
import { ApiError } from "@/lib/errors";
import { fieldOfView, survey } from "@/lib/fieldOfView";
import { histogram } from "@/lib/probability";
import type { Result } from "@/lib/strip";

const PATIENCE = 30; // tries, a second apart, while the server starts or is busy

/** One photograph to the server and back: the map, and what is counted from it. Rejects with ApiError. */
export async function analyse(file: File, options: PredictOptions): Promise<Result> {
  const start = performance.now();
  const [prediction, photograph] = await Promise.all([patiently(file, options), photographOf(file)]);
  const map = await mapOf(prediction.file);
  const same = photograph?.width === map.width && photograph.height === map.height;
  const region = same ? fieldOfView(survey(photograph)) : null;
  return {
    map: prediction.file,
    width: map.width,
    height: map.height,
    counts: histogram(map, region),
    region: region ? "field of view" : "image",
    threshold: prediction.threshold,
    model: prediction.model,
    device: prediction.device,
    precision: prediction.precision,
    serverTime: prediction.milliseconds,
    totalTime: performance.now() - start,
  };
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
export async function thumbnail(file: File): Promise<string> {
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

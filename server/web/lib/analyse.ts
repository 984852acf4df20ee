import { analyst } from "@/lib/analyst";
import { modelOf, type Prediction, type PredictOptions } from "@/lib/api";
import type { ModelClass } from "@/lib/classes";
import { copyWidth } from "@/lib/copies";
import { mapOf, photographOf } from "@/lib/decoded";
import { ApiError } from "@/lib/errors";
import { isDicom } from "@/lib/frames";
import { halvesOf, reducedFor } from "@/lib/reduce";
import { COLOURS } from "@/lib/settings";
import type { Result } from "@/lib/strip";

const PATIENCE = 30; // tries, a second apart, while the server starts or is busy

/**
 * One photograph to the server and back: the map, and what is told of it. Of a file of several photographs it is the first
 * where none is named. Rejects with ApiError.
 */
export async function analyse(file: File, options: PredictOptions): Promise<Result> {
  const start = performance.now();
  await checkReadable(file);
  const frame = options.frame ?? ((await isDicom(file)) ? 1 : undefined);
  const asking = patiently(() => analyst.predictProbability(file, { ...options, frame }), options.signal);
  const [prediction, own] = await Promise.all([asking, photographOf(file)]);
  const { classes, exclusive } = await describedClasses(prediction, options.model ?? null);
  const map = await mapOf(prediction.file);
  const height = map.height / (classes.length || 1);
  // Where the browser can't read the file, or reads it otherwise, the map has its place on what the server reads.
  const same = own?.width === map.width && own.height === height;
  const shown = same ? file : await asServerReads(file, { signal: options.signal, frame, model: options.model });
  return {
    map: prediction.file,
    photograph: shown,
    width: map.width,
    height,
    classes,
    exclusive,
    frame: prediction.frame,
    umPerPx: prediction.umPerPx,
    counts: prediction.levels,
    outlines: prediction.outlines,
    region: prediction.seen ? "field of view" : "image",
    warnings: prediction.warnings,
    quality: prediction.quality,
    threshold: prediction.threshold,
    model: prediction.model,
    device: prediction.device,
    precision: prediction.precision,
    serverTime: prediction.milliseconds,
    totalTime: performance.now() - start,
  };
}

/** Throws ApiError for a file that has nothing to send: a broken connection would not tell why. */
async function checkReadable(file: File): Promise<void> {
  if (file.size === 0) throw new ApiError("Empty", "");
  await file
    .slice(0, 1)
    .arrayBuffer()
    .catch((error: unknown) => {
      throw new ApiError("Unreadable", String(error));
    });
}

/** The classes that a model tells apart, with their colours. */
async function describedClasses(
  { classes }: Prediction,
  model: string | null,
): Promise<Pick<Result, "classes" | "exclusive">> {
  if (!classes.length) return { classes: [], exclusive: false };
  const report = modelOf((await analyst.fetchModels?.()) ?? [], model);
  const colourOf = (name: string, number: number) =>
    report?.classes?.find((one) => one.name === name)?.colour ?? COLOURS[number % COLOURS.length]![0];
  const described = classes.map((one, number): ModelClass => ({ ...one, colour: colourOf(one.name, number) }));
  return { classes: described, exclusive: report?.exclusive ?? false };
}

/** The photograph as PNG, upright: an overlay of which nothing is seen. Null where the server does not answer. */
async function asServerReads(file: File, options: PredictOptions): Promise<Blob | null> {
  const unseen = { layers: [{ name: "", threshold: 1, colour: "#000000", shown: true }], opacity: 0 };
  const answer = await analyst.predictFile(file, "overlay", unseen, options).catch(() => null);
  options.signal?.throwIfAborted();
  return answer?.file ?? null;
}

/** Asks again for a while where the server is busy, or not ready. */
export async function patiently<Answer>(ask: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  for (let left = PATIENCE; ; left--) {
    try {
      return await ask();
    } catch (error) {
      const passing = error instanceof ApiError && (error.type === "BusyError" || error.type === "NotReadyError");
      if (!passing || left === 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal?.throwIfAborted();
  }
}

/** A reduced copy of the whole as an address for an image; empty where the browser can't show the file. */
export async function thumbnail(file: Blob): Promise<string> {
  // Not remembered: all of them would not fit. It is not reduced as it is decoded: browsers do that on the page's own thread.
  const photograph = await createImageBitmap(file).catch(() => null);
  if (!photograph) return "";
  const across = copyWidth();
  const scale = across / photograph.width;
  const canvas = new OffscreenCanvas(across, Math.max(1, Math.round(photograph.height * scale)));
  const { image, smooth } = reducedFor(photograph, await halvesOf(photograph, across / 2), scale);
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = smooth;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  photograph.close();
  return URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 }));
}

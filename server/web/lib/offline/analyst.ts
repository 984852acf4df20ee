import type { Analyst, FileOptions, Format, Health, Look, Prediction, PredictOptions } from "@/lib/api";
import { crcOfFile } from "@/lib/crc";
import { type ZipEntry, zipOf } from "@/lib/zip";

import { describeNetwork, findVessels } from "./asking";
import { fileOf } from "./files";
import { warningsOf } from "./warnings";

/** This browser itself: `make web-offline` builds the page with it in the place of a server. */
export const analyst: Analyst = {
  formats: ["mask", "overlay"],
  suffixes: [],
  predictProbability,
  predictSpread: null,
  predictFile,
  predictBatch,
  predictMeasured: null,
  fetchHealth: () => Promise.race([health(), later(LOADING)]),
  fetchModels: null, // the build refuses models of several classes, and takes one file
  enterKey: null,
};

const LOADING: Health = { ready: false, version: "" };
const PATIENCE = 300; // ms until a model is said to be loading

let asked: ReturnType<typeof describeNetwork> | null = null;

/** What the model is, asked for once. */
function network(): ReturnType<typeof describeNetwork> {
  asked ??= describeNetwork().catch((error: unknown) => {
    asked = null;
    throw error;
  });
  return asked;
}

async function health(): Promise<Health> {
  const { manifest, device } = await network();
  const { name, version, precision } = manifest;
  return { ready: true, version, model: name, model_version: version, device, precision, backend: "onnxruntime-web" };
}

function later<T>(value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(value), PATIENCE));
}

/** What was found: no photograph is looked at twice. */
const predictions = new WeakMap<File, Prediction>();

async function predictProbability(photograph: File, options: PredictOptions = {}): Promise<Prediction> {
  options.onSent?.(1);
  const { map, levels, outlines, seen, milliseconds } = await findVessels(photograph, options.signal);
  const { manifest, device } = await network();
  const prediction: Prediction = {
    file: map,
    name: nameOf(photograph, "probability"),
    threshold: manifest.threshold,
    classes: [],
    model: `${manifest.name} ${manifest.version}`,
    device,
    precision: manifest.precision,
    milliseconds,
    levels,
    outlines,
    frame: null,
    umPerPx: null,
    warnings: warningsOf(outlines.length, seen),
    quality: null,
    seen,
  };
  predictions.set(photograph, prediction);
  return prediction;
}

async function predictFile(photograph: File, format: Format, look: Look, options?: FileOptions): Promise<Prediction> {
  const prediction = predictions.get(photograph) ?? (await predictProbability(photograph, options));
  const file = await fileOf(photograph, format, look, {
    map: prediction.file,
    correction: options?.correction ?? null,
  });
  return { ...prediction, file, name: nameOf(photograph, format), threshold: look.layers[0]!.threshold };
}

async function predictBatch(
  photographs: readonly File[],
  query: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Blob> {
  const layer = { name: "", threshold: Number(query.threshold), colour: query.colour!, shown: true };
  const look = { layers: [layer], opacity: Number(query.opacity) };
  const entries: ZipEntry[] = [];
  for (const [number, photograph] of photographs.entries()) {
    signal?.throwIfAborted();
    const { file, name } = await predictFile(photograph, query.format as Format, look, { signal });
    entries.push({ name: `${String(number).padStart(3, "0")}-${name}`, crc: await crcOfFile(file), content: file });
  }
  return zipOf(entries);
}

/** As the server calls files. */
function nameOf({ name }: File, what: string): string {
  return `${name.replace(/\.[^.]+$/, "")}-${what}.png`;
}

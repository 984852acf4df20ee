import { analyst } from "@/lib/analyst";
import type { FileOptions, Format, Look, Prediction } from "@/lib/api";
import { Correction } from "@/lib/correction";
import { type Mark, PAINTED } from "@/lib/correctionMarks";
import { ApiError } from "@/lib/errors";
import { insideOf } from "@/lib/field";
import { type Grey, greyPng } from "@/lib/png";
import type { Histogram } from "@/lib/probability";
import type { Result } from "@/lib/strip";

/** The correction of a photograph as it is now. */
export interface Corrected {
  readonly correction: Correction;
  /** Another number after each change: the correction itself stays the same. */
  readonly version: number;
  /** Of the corrected map of one class; null where it is not known. */
  readonly counts: Histogram | null;
  /** Whether any pixel is marked. */
  readonly some: boolean;
}

/** A correction of a result that nothing is marked in yet. */
export function correctionFor({ width, height, classes, exclusive, counts }: Result): Correction {
  const several = classes.length > 1;
  return new Correction({ width, height }, classes.length || 1, exclusive && several, several ? null : counts);
}

/** 1 for each pixel of the field of view, of which the figures of one class follow each step; of several pixels are counted. */
export function insideFor(result: Result): Uint8Array | null {
  return result.counts && result.outlines.length ? insideOf(result.outlines, result) : null;
}

/** A correction as it is now. */
export function correctedBy(correction: Correction): Corrected {
  const { version, counts, marks } = correction;
  return { correction, version, counts, some: marks.count > 0 };
}

/** A result with the figures of its corrected map. */
export function resultAsCorrected(result: Result, corrected: Corrected | null): Result {
  return corrected?.some ? { ...result, counts: result.counts && corrected.counts } : result;
}

/** The maps of a photograph's classes with what was corrected in them; where nothing was, the same. */
export function correctedMaps(own: readonly Grey[], corrected: Corrected | null): readonly Grey[] {
  return corrected?.some ? corrected.correction.applied(own) : own;
}

/** What a correction is called where something was made of it. */
export function versionOf(corrected: Corrected | null): string {
  return corrected?.some ? ` corrected ${corrected.version}` : "";
}

/** A correction as plain data: what is marked, without the steps that led to it. */
export interface PlainCorrection {
  /** Row, first pixel, the pixel after the last, and mark of each run. */
  readonly runs: Uint32Array;
  readonly counts: Histogram | null;
}

const plain = new WeakMap<Corrected, PlainCorrection>();

/** The same for the same; null: nothing is marked. */
export function plainOf(corrected: Corrected | null): PlainCorrection | null {
  if (!corrected?.some) return null;
  const before = plain.get(corrected);
  if (before) return before;
  const runs = [...corrected.correction.marks.runs()].flatMap(({ row, from, to, mark }) => [row, from, to, mark]);
  const made = { runs: Uint32Array.from(runs), counts: corrected.counts };
  plain.set(corrected, made);
  return made;
}

/** The correction of a result that `plainOf` has made plain. */
export function correctedFrom(kept: PlainCorrection, result: Result): Corrected {
  const correction = correctionFor({ ...result, counts: result.counts && kept.counts });
  const { runs } = kept;
  for (let place = 0; place < runs.length; place += 4) {
    const [row, from, to, mark] = runs.subarray(place, place + 4) as unknown as [number, number, number, Mark];
    correction.marks.set({ row, from, to, mark }, () => undefined);
  }
  const corrected = correctedBy(correction);
  plain.set(corrected, kept);
  return corrected;
}

const AS_THE_MODEL = 128;

/** The correction as the server takes it: 255 for vessel, 0 for none, 128 for what the model says. Null: nothing is marked. */
export async function correctionFile(corrected: Corrected | null): Promise<Blob | null> {
  if (!corrected?.some) return null;
  const { marks } = corrected.correction;
  const { width, height } = marks;
  const stride = width + 1;
  const rows = new Uint8Array(stride * height).fill(AS_THE_MODEL);
  for (let row = 0; row < height; row++) rows[row * stride] = 0; // no filter
  for (const { row, from, to, mark } of marks.runs()) {
    const start = row * stride + 1;
    rows.fill(mark === PAINTED ? 255 : 0, start + from, start + to);
  }
  return greyPng({ width, height }, rows);
}

const LOSSLESS = 0.35; // px by which outlines may move and no pixel of the mask changes

/** A finished file, in which the correction is applied where there is one. Rejects with ApiError. */
export async function predictCorrected(
  photograph: File,
  format: Format,
  look: Look,
  corrected: Corrected | null,
  options: Omit<FileOptions, "simplify" | "correction"> = {},
): Promise<Prediction> {
  const correction = await correctionFile(corrected);
  if (!correction) return analyst.predictFile(photograph, format, look, options);
  const outlined = format === "svg" || format === "geojson";
  const simplify = outlined ? { simplify: LOSSLESS } : {};
  const ask = (more: FileOptions) => analyst.predictFile(photograph, format, look, { ...options, ...more, correction });
  return ask(simplify).catch((error: unknown) => {
    // Simplifying needs a package that a server may lack.
    if (!outlined || !(error instanceof ApiError) || error.type !== "MissingExtraError") throw error;
    return ask({});
  });
}

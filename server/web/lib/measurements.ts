import { patiently } from "@/lib/analyse";
import { analyst } from "@/lib/analyst";
import { type MeasuredDocument, whichOf } from "@/lib/api";
import { correctionFile, versionOf } from "@/lib/corrected";
import { ApiError, trouble, wordsOf } from "@/lib/errors";
import { en } from "@/lib/messages/en";
import { layersOf } from "@/lib/settings";
import type { Photograph, Result } from "@/lib/strip";

const NO_LOOK = { colour: "", classes: {} };

/** What was measured in a photograph at its thresholds, or why nothing was. */
export type Measured = { readonly document: MeasuredDocument } | { readonly why: string };

/** What was measured, by the photographs' results, as long as they are there. */
const kept = new WeakMap<Result, { readonly of: string; readonly document: MeasuredDocument }>();

/** Its thresholds as the server takes and tells them: "0.5", or of several classes "artery:0.4,vein:0.6". */
export function thresholdOf({ progress, thresholds }: Photograph): string {
  const layers = layersOf(progress.step === "done" ? progress.result : null, thresholds, NO_LOOK);
  return layers.map(({ name, threshold }) => (name ? `${name}:${threshold}` : String(threshold))).join();
}

/** Thresholds, correction and scale as a text that is the same where they are. */
function figuresKey(photograph: Photograph): string {
  return `${thresholdOf(photograph)}${versionOf(photograph.corrected)} ${photograph.umPerPx}`;
}

/** What was measured of a photograph already, at the thresholds and with the correction that it has now. */
export function measuredOf(photograph: Photograph): MeasuredDocument | null {
  const { progress } = photograph;
  const found = progress.step === "done" && kept.get(progress.result);
  return found && found.of === figuresKey(photograph) ? found.document : null;
}

/**
 * Measures all photographs that have a result, one after the other, each at its thresholds and as corrected; by their ids. `onDone` is called
 * with how many are done. A server that can't measure is asked once. Rejects with the signal's reason alone.
 */
export async function measureAll(
  photographs: readonly Photograph[],
  onDone: (count: number) => void,
  signal: AbortSignal,
): Promise<Map<number, Measured>> {
  const found = new Map<number, Measured>();
  let without = "";
  for (const photograph of photographs) {
    if (photograph.progress.step !== "done") continue;
    signal.throwIfAborted();
    let measured: Measured = { why: without };
    if (!without) {
      try {
        measured = { document: await measure(photograph, signal) };
      } catch (error) {
        signal.throwIfAborted();
        const missing = error instanceof ApiError && error.type === "MissingExtraError";
        if (missing) without = error.message;
        const told = trouble(error);
        measured = { why: without || told.said || wordsOf(told, en).title };
      }
    }
    found.set(photograph.id, measured);
    onDone(found.size);
  }
  return found;
}

async function measure(photograph: Photograph, signal: AbortSignal): Promise<MeasuredDocument> {
  const before = measuredOf(photograph);
  if (before) return before;
  const { predictMeasured } = analyst;
  if (!predictMeasured) throw new ApiError("MissingExtraError", "a server measures, and here is none");
  const { file, corrected, progress, umPerPx } = photograph;
  const [of, threshold] = [figuresKey(photograph), thresholdOf(photograph)];
  const options = { ...whichOf(photograph), correction: await correctionFile(corrected), umPerPx };
  const document = await patiently(() => predictMeasured(file, threshold, options, signal), signal);
  if (progress.step === "done") kept.set(progress.result, { of, document });
  return document;
}

/** Why figures are null, as the command line tells it: "names: reason; names: reason". */
export function reasonsOf({ measurements: { reasons } }: MeasuredDocument): string {
  const names = new Map<string, string[]>();
  for (const [name, why] of Object.entries(reasons)) names.set(why, [...(names.get(why) ?? []), name]);
  return [...names].map(([why, some]) => `${some.join(" ")}: ${why}`).join("; ");
}

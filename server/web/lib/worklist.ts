import { resultAsCorrected, versionOf } from "@/lib/corrected";
import { density } from "@/lib/probability";
import { layersOf } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";

export type Sort = "name" | "density" | "state";

/** How far a photograph has come: "check" is done, but doubtful. */
export type State = "failed" | "check" | "working" | "waiting" | "done";

/** What needs a person comes first. */
const ORDER: readonly State[] = ["failed", "check", "working", "waiting", "done"];

const NO_COLOURS = { colour: "", classes: {} };

export function stateOf({ progress }: Photograph): State {
  if (progress.step !== "done") return progress.step;
  const { warnings, quality } = progress.result;
  return warnings.length || (quality && quality.verdict !== "good") ? "check" : "done";
}

/** Of each class, or of the vessels, the share of the field of view at the photograph's thresholds; null: not known. */
export function sharesOf(photograph: Photograph): readonly number[] | null {
  const { progress, thresholds, corrected, cover } = photograph;
  if (progress.step !== "done") return null;
  const { counts } = resultAsCorrected(progress.result, corrected);
  const layers = layersOf(progress.result, thresholds, NO_COLOURS);
  if (counts) return [density(counts, layers[0]!.threshold)];
  return cover?.of === coverKey(photograph, layers) ? cover.shares : null;
}

/** Model, thresholds and correction as a text that is the same where they are. */
export function coverKey(
  { model, corrected }: Pick<Photograph, "model" | "corrected">,
  layers: readonly { readonly threshold: number }[],
): string {
  return `${layers.map(({ threshold }) => threshold).join()}${versionOf(corrected)} by ${model}`;
}

/** The same in another order; of equals, and by name, as people sort names: eye-2 before eye-10. */
export function sortedBy(sort: Sort, photographs: readonly Photograph[]): readonly Photograph[] {
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  const byName = (one: Photograph, other: Photograph) => compare(one.file.name, other.file.name) || one.id - other.id;
  if (sort === "name") return photographs.toSorted(byName);
  const ranks = new Map(photographs.map((one) => [one.id, sort === "state" ? stateRank(one) : densityRank(one)]));
  return photographs.toSorted((one, other) => ranks.get(one.id)! - ranks.get(other.id)! || byName(one, other));
}

/** How many there are, how many have a result, and how many a person must look at. */
export function tallyOf(photographs: readonly Photograph[]): { all: number; done: number; attention: number } {
  const states = photographs.map(stateOf);
  const count = (...wanted: State[]) => states.filter((state) => wanted.includes(state)).length;
  return { all: states.length, done: count("done", "check"), attention: count("check", "failed") };
}

/** The densest first; those of which nothing is known last. */
function densityRank(photograph: Photograph): number {
  const shares = sharesOf(photograph);
  return shares ? -shares.reduce((sum, share) => sum + share, 0) : 1;
}

/** Of what is doubtful, what is not good enough for figures comes first. */
function stateRank(photograph: Photograph): number {
  const { progress } = photograph;
  const rejected = progress.step === "done" && progress.result.quality?.verdict === "reject";
  return ORDER.indexOf(stateOf(photograph)) - (rejected ? 0.5 : 0);
}

import type { Thresholds } from "@/lib/settings";
import type { Photograph, Strip } from "@/lib/strip";

/** What can be undone: a photograph was removed from a place, thresholds were given to some, or some got another model. */
export type Undoable =
  | { readonly type: "removed"; readonly photograph: Photograph; readonly index: number }
  | { readonly type: "applied"; readonly before: ReadonlyMap<number, Thresholds> }
  | { readonly type: "asked"; readonly before: ReadonlyMap<number, Photograph>; readonly model: string | null };

/** Its neighbour, the right one first, is looked at next. */
export function removed(strip: Strip, id: number): Strip {
  const index = strip.photographs.findIndex((one) => one.id === id);
  const photograph = strip.photographs[index];
  if (!photograph) return strip;
  const photographs = strip.photographs.filter((one) => one.id !== id);
  const neighbour = photographs[Math.min(index, photographs.length - 1)]?.id ?? null;
  return {
    ...strip,
    photographs,
    selected: strip.selected === id ? neighbour : strip.selected,
    undo: [...strip.undo, { type: "removed", photograph: stopped(photograph), index }],
  };
}

/** The same thresholds for all photographs of a model. */
export function applied(strip: Strip, model: string | null, thresholds: Thresholds): Strip {
  const some = strip.photographs.filter((one) => one.model === model);
  const before = new Map(some.map(({ id, thresholds }) => [id, thresholds]));
  const photographs = strip.photographs.map((one) => (before.has(one.id) ? { ...one, thresholds } : one));
  return { ...strip, photographs, undo: [...strip.undo, { type: "applied", before }] };
}

/**
 * Another model for a photograph, or for all, and for those that come. They are analysed again: thresholds and corrections
 * were of what the other model has found. The one that they had just before is undone, and not analysed again.
 */
export function asked(strip: Strip, id: number | "all", model: string | null): Strip {
  const some = strip.photographs.filter((one) => (id === "all" || one.id === id) && one.model !== model);
  if (!some.length) return { ...strip, model };
  const last = strip.undo.at(-1);
  if (last?.type === "asked" && last.before.size === some.length) {
    if (some.every(({ id }) => last.before.get(id)?.model === model)) return { ...undone(strip), model };
  }
  const before = new Map(some.map((one) => [one.id, stopped(one)]));
  const photographs = strip.photographs.map(
    (one): Photograph =>
      before.has(one.id)
        ? { ...one, model, progress: { step: "waiting" }, thresholds: {}, corrected: null, cover: null }
        : one,
  );
  return { ...strip, photographs, model, undo: [...strip.undo, { type: "asked", before, model: strip.model }] };
}

/** What was under way has to be sent again when it comes back. */
function stopped(photograph: Photograph): Photograph {
  return photograph.progress.step === "working" ? { ...photograph, progress: { step: "waiting" } } : photograph;
}

/** Without what was done last. A photograph that was removed is looked at again. */
export function undone(strip: Strip): Strip {
  const last = strip.undo.at(-1);
  const undo = strip.undo.slice(0, -1);
  switch (last?.type) {
    case undefined:
      return strip;
    case "removed": {
      const photographs = strip.photographs.toSpliced(last.index, 0, last.photograph);
      return { ...strip, photographs, selected: last.photograph.id, undo };
    }
    case "applied": {
      const before = (one: Photograph) => ({ ...one, thresholds: last.before.get(one.id) ?? one.thresholds });
      return { ...strip, photographs: strip.photographs.map(before), undo };
    }
    case "asked":
      return { ...strip, photographs: strip.photographs.map((one) => asBefore(one, last)), model: last.model, undo };
  }
}

/** What belongs to the model comes back; what was measured on the photograph, or is made of it, stays. */
function asBefore(
  photograph: Photograph,
  { before }: { readonly before: ReadonlyMap<number, Photograph> },
): Photograph {
  const old = before.get(photograph.id);
  if (!old) return photograph;
  const { model, progress, thresholds, corrected } = old;
  return { ...photograph, model, progress, thresholds, corrected, cover: null };
}

import type { ModelClass } from "@/lib/classes";
import type { Trouble } from "@/lib/errors";
import type { Outline } from "@/lib/field";
import type { Histogram } from "@/lib/probability";

/** What is known of a photograph once the server has answered. The map stays compressed; one at a time is decoded. */
export interface Result {
  readonly map: Blob;
  /** An image of that size that the browser can show: the file itself, or the server's copy; null where there is none. */
  readonly photograph: Blob | null;
  readonly width: number;
  readonly height: number;
  /** What the model tells apart; empty where it is one class. */
  readonly classes: readonly ModelClass[];
  /** Whether a pixel belongs to one class at most. */
  readonly exclusive: boolean;
  /** Of a model of one class; null where something between the server and here has taken them away. */
  readonly counts: Histogram | null;
  /** Of the fields of view, of a model of several classes. */
  readonly outlines: readonly Outline[];
  /** What `counts` are of: where no edge of the field of view is seen, it is the image. */
  readonly region: "field of view" | "image";
  /** What is doubtful about the photograph, in sentences. */
  readonly warnings: readonly string[];
  /** The model's, of one class. */
  readonly threshold: number;
  readonly model: string;
  readonly device: string;
  readonly precision: string;
  /** ms that the server worked. */
  readonly serverTime: number;
  /** ms from sending to seeing. */
  readonly totalTime: number;
}

export type Progress =
  | { readonly step: "waiting" }
  | { readonly step: "working"; readonly sent: number }
  | { readonly step: "done"; readonly result: Result }
  | { readonly step: "failed"; readonly trouble: Trouble };

export interface Photograph {
  readonly id: number;
  readonly file: File;
  /** A reduced copy to show; null until it is made, empty where the browser can't show the file. */
  readonly thumbnail: string | null;
  readonly progress: Progress;
}

/** The photographs in the order in which they came, and the one that is looked at. */
export interface Strip {
  readonly photographs: readonly Photograph[];
  readonly selected: number | null;
  readonly nextId: number;
}

export type StripAction =
  | { readonly type: "add"; readonly files: readonly File[] }
  | { readonly type: "thumbnail"; readonly id: number; readonly url: string }
  | { readonly type: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly type: "select"; readonly id: number }
  | { readonly type: "move"; readonly by: 1 | -1 }
  | { readonly type: "again"; readonly remedy: NonNullable<Trouble["remedy"]> }
  | { readonly type: "remove"; readonly id: number };

export const EMPTY: Strip = { photographs: [], selected: null, nextId: 1 };

export function reduceStrip(strip: Strip, action: StripAction): Strip {
  switch (action.type) {
    case "add":
      return added(strip, action.files);
    case "thumbnail":
      return changed(strip, action.id, { thumbnail: action.url });
    case "progress":
      return changed(strip, action.id, { progress: action.progress });
    case "again":
      return { ...strip, photographs: strip.photographs.map((one) => waiting(one, action.remedy)) };
    case "select":
      return { ...strip, selected: action.id };
    case "move": {
      const index = strip.photographs.findIndex(({ id }) => id === strip.selected) + action.by;
      return { ...strip, selected: strip.photographs[index]?.id ?? strip.selected };
    }
    case "remove":
      return removed(strip, action.id);
  }
}

export function selectedOf({ photographs, selected }: Strip): Photograph | undefined {
  return photographs.find(({ id }) => id === selected);
}

/** What keeps a photograph from being analysed: its own failure, or a key that another one was refused for. */
export function troubleOf(photographs: readonly Photograph[], { progress }: Photograph): Trouble | null {
  if (progress.step === "failed") return progress.trouble;
  return progress.step === "waiting" ? lockOf(photographs) : null;
}

/** The refusal for want of a key: whatever is sent before it is entered would be refused too. */
function lockOf(photographs: readonly Photograph[]): Trouble | null {
  for (const { progress } of photographs)
    if (progress.step === "failed" && progress.trouble.remedy === "key") return progress.trouble;
  return null;
}

/** The one to send now: none while another is under way, for the server works on one at a time; none before a key. */
export function nextToSend({ photographs, selected }: Strip): Photograph | undefined {
  if (photographs.some(({ progress }) => progress.step === "working") || lockOf(photographs)) return undefined;
  const waiting = photographs.filter(({ progress }) => progress.step === "waiting");
  return waiting.find(({ id }) => id === selected) ?? waiting[0];
}

/** The first of the new photographs is shown. */
function added(strip: Strip, files: readonly File[]): Strip {
  const photographs = files.map(
    (file, index): Photograph => ({
      id: strip.nextId + index,
      file,
      thumbnail: null,
      progress: { step: "waiting" },
    }),
  );
  return {
    photographs: [...strip.photographs, ...photographs],
    selected: photographs[0]?.id ?? strip.selected,
    nextId: strip.nextId + files.length,
  };
}

function changed(strip: Strip, id: number, change: Partial<Photograph>): Strip {
  return { ...strip, photographs: strip.photographs.map((one) => (one.id === id ? { ...one, ...change } : one)) };
}

/** What failed, and may pass with this remedy, waits again: a server that was away was so for all of them. */
function waiting(photograph: Photograph, remedy: Trouble["remedy"]): Photograph {
  const { progress } = photograph;
  const helped = progress.step === "failed" && progress.trouble.remedy === remedy;
  return helped ? { ...photograph, progress: { step: "waiting" } } : photograph;
}

/** Its neighbour, the right one first, is looked at next. */
function removed(strip: Strip, id: number): Strip {
  const index = strip.photographs.findIndex((one) => one.id === id);
  const photographs = strip.photographs.filter((one) => one.id !== id);
  const neighbour = photographs[Math.min(index, photographs.length - 1)]?.id ?? null;
  return { ...strip, photographs, selected: strip.selected === id ? neighbour : strip.selected };
}

import type { ModelClass } from "@/lib/classes";
import { type Corrected, correctedBy } from "@/lib/corrected";
import type { Correction } from "@/lib/correction";
import type { Trouble } from "@/lib/errors";
import type { Outline } from "@/lib/field";
import type { Frame } from "@/lib/frames";
import type { Gauge } from "@/lib/gauge";
import { type Kept, restored } from "@/lib/kept";
import type { Histogram } from "@/lib/probability";
import type { Quality } from "@/lib/quality";
import type { Thresholds } from "@/lib/settings";
import { applied, asked, removed, type Undoable, undone } from "@/lib/undoable";
import { type Sort, sortedBy } from "@/lib/worklist";

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
  /** Of a DICOM file; null of others. */
  readonly frame: Frame | null;
  /** Micrometres of the retina in a pixel, where the file tells them; left out of results that were kept before they were. */
  readonly umPerPx?: number | null;
  /** Of a model of one class; null where something between the server and here has taken them away. */
  readonly counts: Histogram | null;
  /** Of the fields of view, of a model of several classes. */
  readonly outlines: readonly Outline[];
  /** What `counts` are of: where no edge of the field of view is seen, it is the image. */
  readonly region: "field of view" | "image";
  /** What is doubtful about the photograph, in sentences. */
  readonly warnings: readonly string[];
  /** The verdict on the photograph; null where the server does not judge photographs. */
  readonly quality: Quality | null;
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
  /** Under which it was kept in this browser, where it comes from there. */
  readonly key?: string;
  readonly file: File;
  /** Which photograph of a DICOM file; null of others, and before the server has told how many there are. */
  readonly frame: Frame | null;
  /** What it is analysed by, as requests call it; null: the model that is asked where none is named. */
  readonly model: string | null;
  /** A reduced copy to show; null until it is made, empty where the browser can't show the file. */
  readonly thumbnail: string | null;
  readonly progress: Progress;
  readonly thresholds: Thresholds;
  /** What a person has changed; null where nobody has begun to. */
  readonly corrected: Corrected | null;
  /** What was put on it to measure there. */
  readonly gauges: readonly Gauge[];
  /** Micrometres in a pixel, as a person says; null: nobody has said so. */
  readonly umPerPx: number | null;
  /** What the worklist lays over the reduced copy; null before it is made. */
  readonly cover: Cover | null;
}

/** The vessels of a result at some thresholds, reduced. */
export interface Cover {
  /** Of what it was made, as `coverKey` tells it. */
  readonly of: string;
  /** Of each class an image whose opacity is the share of vessel, as an address. */
  readonly masks: readonly string[];
  /** Of several classes their shares of the field of view, 0..1; null where `counts` tell it, or nothing does. */
  readonly shares: readonly number[] | null;
}

/** The photographs in the order in which they are shown, and the one that is looked at, or was. */
export interface Strip {
  readonly photographs: readonly Photograph[];
  readonly selected: number | null;
  readonly nextId: number;
  /** All of them, or the selected one. */
  readonly screen: "worklist" | "viewer";
  readonly sort: Sort;
  /** Of photographs that come. */
  readonly model: string | null;
  /** The last one is undone first. */
  readonly undo: readonly Undoable[];
}

export type StripAction =
  | { readonly type: "add"; readonly files: readonly File[] }
  | { readonly type: "thumbnail"; readonly id: number; readonly url: string }
  | { readonly type: "cover"; readonly id: number; readonly cover: Cover }
  | { readonly type: "progress"; readonly id: number; readonly model: string | null; readonly progress: Progress }
  | { readonly type: "select"; readonly id: number }
  | { readonly type: "move"; readonly by: 1 | -1 }
  | { readonly type: "open"; readonly id: number }
  | { readonly type: "close" }
  | { readonly type: "sort"; readonly by: Sort }
  | { readonly type: "thresholds"; readonly id: number; readonly thresholds: Thresholds }
  | { readonly type: "corrected"; readonly id: number; readonly correction: Correction }
  | { readonly type: "gauges"; readonly id: number; readonly gauges: readonly Gauge[] }
  | { readonly type: "scale"; readonly id: number | "all"; readonly umPerPx: number | null }
  | { readonly type: "apply"; readonly model: string | null; readonly thresholds: Thresholds }
  | { readonly type: "ask"; readonly id: number | "all"; readonly model: string | null }
  | { readonly type: "again"; readonly remedy: NonNullable<Trouble["remedy"]> }
  | { readonly type: "remove"; readonly id: number }
  | { readonly type: "restore"; readonly kept: ReadonlyMap<string, Kept>; readonly sort: Sort }
  | { readonly type: "clear" }
  | { readonly type: "undo" }
  | { readonly type: "forget" };

export const EMPTY: Strip = {
  photographs: [],
  selected: null,
  nextId: 1,
  screen: "viewer",
  sort: "name",
  model: null,
  undo: [],
};

export function reduceStrip(strip: Strip, action: StripAction): Strip {
  switch (action.type) {
    case "add":
      return added(strip, action.files);
    case "thumbnail":
      return changed(strip, action.id, { thumbnail: action.url });
    case "cover":
      return arranged(changed(strip, action.id, { cover: action.cover }));
    case "progress":
      return progressed(strip, action.id, action.model, action.progress);
    case "again":
      return { ...strip, photographs: strip.photographs.map((one) => waiting(one, action.remedy)) };
    case "select":
      return { ...strip, selected: action.id };
    case "move": {
      const index = strip.photographs.findIndex(({ id }) => id === strip.selected) + action.by;
      return { ...strip, selected: strip.photographs[index]?.id ?? strip.selected };
    }
    case "open":
      return { ...strip, selected: action.id, screen: "viewer" };
    case "close":
      return arranged({ ...strip, screen: strip.photographs.length > 1 ? "worklist" : strip.screen });
    case "sort":
      return arranged({ ...strip, sort: action.by });
    case "thresholds":
      return changed(strip, action.id, { thresholds: action.thresholds });
    case "corrected":
      return changed(strip, action.id, { corrected: correctedBy(action.correction) });
    case "gauges":
      return changed(strip, action.id, { gauges: action.gauges });
    case "scale":
      return scaled(strip, action.id, action.umPerPx);
    case "apply":
      return applied(strip, action.model, action.thresholds);
    case "ask":
      return arranged(asked(strip, action.id, action.model));
    case "remove":
      return removed(strip, action.id);
    case "restore":
      return restored(strip, action.kept, action.sort);
    case "clear":
      return { ...EMPTY, nextId: strip.nextId, sort: strip.sort, model: strip.model };
    case "undo":
      return arranged(undone(strip));
    case "forget":
      return { ...strip, undo: [] };
  }
}

export function selectedOf({ photographs, selected }: Strip): Photograph | undefined {
  return photographs.find(({ id }) => id === selected);
}

/** Whether it takes more than a moment to have the same again: a series, a chosen threshold, a correction, or what was measured. */
export function worthKeeping({ photographs }: Strip): boolean {
  return (
    photographs.length > 1 ||
    photographs.some(
      ({ thresholds, corrected, gauges }) => Object.keys(thresholds).length > 0 || corrected?.some || gauges.length > 0,
    )
  );
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

/** The first of the new photographs is looked at: one alone in the viewer, several among all. */
function added(strip: Strip, files: readonly File[]): Strip {
  if (!files.length) return strip;
  const photographs = files.map((file, index) => newPhotograph(strip.nextId + index, file, null, strip.model));
  const screen = files.length > 1 ? "worklist" : strip.screen;
  const all = inOrder({ ...strip, photographs: [...strip.photographs, ...photographs], screen });
  const first = all.photographs.find(({ id }) => id >= strip.nextId);
  return { ...all, selected: first!.id, nextId: strip.nextId + files.length };
}

function newPhotograph(id: number, file: File, frame: Frame | null, model: string | null): Photograph {
  return {
    id,
    file,
    frame,
    model,
    thumbnail: null,
    progress: { step: "waiting" },
    thresholds: {},
    corrected: null,
    gauges: [],
    umPerPx: null,
    cover: null,
  };
}

/** The photographs of a file behind the first of them, once the server has told how many there are. */
function unfolded(strip: Strip, id: number): Strip {
  const index = strip.photographs.findIndex((one) => one.id === id);
  const first = strip.photographs[index];
  const frame = first?.progress.step === "done" ? first.progress.result.frame : null;
  if (!first || first.frame || !frame) return strip;
  const { nextId } = strip;
  const others = Array.from({ length: frame.of - 1 }, (_, place) =>
    newPhotograph(nextId + place, first.file, { number: place + 2, of: frame.of }, first.model),
  );
  const photographs = strip.photographs.toSpliced(index, 1, { ...first, frame }, ...others);
  const alone = others.length > 0 && strip.photographs.length === 1;
  return { ...strip, photographs, nextId: nextId + others.length, screen: alone ? "worklist" : strip.screen };
}

/** In the viewer the order stays: what is next must not change while one is looked at. */
function arranged(strip: Strip): Strip {
  return strip.screen === "worklist" ? inOrder(strip) : strip;
}

function inOrder(strip: Strip): Strip {
  return { ...strip, photographs: sortedBy(strip.sort, strip.photographs) };
}

function changed(strip: Strip, id: number, change: Partial<Photograph>): Strip {
  return { ...strip, photographs: strip.photographs.map((one) => (one.id === id ? { ...one, ...change } : one)) };
}

/**
 * How far a photograph has come with a model; nothing where it has got another one meanwhile. Where a key is asked for nothing goes
 * on before it is entered: that photograph is opened.
 */
function progressed(strip: Strip, id: number, model: string | null, progress: Progress): Strip {
  if (!strip.photographs.some((one) => one.id === id && one.model === model)) return strip;
  const after = arranged(unfolded(changed(strip, id, { progress }), id));
  const locked = progress.step === "failed" && progress.trouble.remedy === "key";
  return locked ? { ...after, screen: "viewer", selected: id } : after;
}

/** What failed, and may pass with this remedy, waits again: a server that was away was so for all of them. */
function waiting(photograph: Photograph, remedy: Trouble["remedy"]): Photograph {
  const { progress } = photograph;
  const helped = progress.step === "failed" && progress.trouble.remedy === remedy;
  return helped ? { ...photograph, progress: { step: "waiting" } } : photograph;
}

function scaled(strip: Strip, id: number | "all", umPerPx: number | null): Strip {
  if (id !== "all") return changed(strip, id, { umPerPx });
  return { ...strip, photographs: strip.photographs.map((one) => ({ ...one, umPerPx })) };
}

import type { Layer, ModelClass } from "@/lib/classes";
import type { Outline } from "@/lib/field";
import type { Frame } from "@/lib/frames";
import type { Histogram } from "@/lib/probability";
import type { Quality } from "@/lib/quality";

export type Format = "mask" | "overlay" | "svg" | "geojson";

/** A file that was made of a photograph, and what is told with it: an answer of POST /predict. */
export interface Prediction {
  readonly file: Blob;
  /** The name that the server gives the file. */
  readonly name: string;
  /** The threshold that was used: the model's own when none was asked for; of the first class where there are several. */
  readonly threshold: number;
  /** The names and thresholds of several classes; empty where the model tells none apart. */
  readonly classes: readonly Omit<ModelClass, "colour">[];
  readonly model: string;
  readonly device: string;
  readonly precision: string;
  /** Milliseconds on the server, all stages. */
  readonly milliseconds: number;
  /** Of the probability map of one class, counted in the field of view; null for other files. */
  readonly levels: Histogram | null;
  /** Of the probability maps of several classes: the outlines of the fields of view. */
  readonly outlines: readonly Outline[];
  /** Of a DICOM file; null of others. */
  readonly frame: Frame | null;
  /** Micrometres of the retina in a pixel; null where the file does not tell them. */
  readonly umPerPx: number | null;
  /** What is doubtful about the photograph, in sentences. */
  readonly warnings: readonly string[];
  /** Null where the server does not judge photographs. */
  readonly quality: Quality | null;
  /** Whether an edge of the field of view was seen. */
  readonly seen: boolean;
}

/** What GET /health tells; what is not known yet is left out. */
export interface Health {
  readonly ready: boolean;
  readonly version: string;
  readonly model?: string;
  readonly model_version?: string;
  readonly device?: string;
  readonly device_name?: string;
  readonly precision?: string;
  readonly backend?: string;
}

export interface PredictOptions {
  readonly signal?: AbortSignal | undefined;
  /** What a person has corrected, as the server takes it. */
  readonly correction?: Blob;
  /** Called with the sent share of the photograph, 0..1. */
  readonly onSent?: (share: number) => void;
  /** Which photograph of its file, from 1; without it the only one. */
  readonly frame?: number | undefined;
  /** What it is called by those that `fetchModels` tells; without it the one that is asked where none is named. */
  readonly model?: string | undefined;
}

/** A model of GET /models. What is not known before it is loaded is left out. */
export interface ModelReport {
  /** What requests call it. */
  readonly name: string;
  /** Whether it is asked where a request names none. */
  readonly default: boolean;
  readonly description?: string;
  /** Left out where it is one. */
  readonly classes?: readonly ModelClass[];
  readonly exclusive?: boolean;
  /** How many maps it averages. Left out where it is one. */
  readonly members?: number;
}

/** How a file of results is to look. */
export interface Look {
  readonly layers: readonly Layer[];
  readonly opacity: number;
}

/** What was measured in a photograph. */
export interface MeasuredDocument {
  /** The largest first. */
  readonly fields_of_view: readonly { readonly diameter: number; readonly scale: string }[];
  readonly measurements: {
    readonly um_per_px: number | null;
    /** By their names, as in docs/measures.md; null where one can't be had. */
    readonly figures: Readonly<Record<string, number | null>>;
    /** Why they are null. */
    readonly reasons: Readonly<Record<string, string>>;
  };
}

/** What is known of a photograph that is measured, beside its threshold. */
export interface MeasureOptions extends Pick<PredictOptions, "frame" | "model"> {
  readonly correction: Blob | null;
  /** Micrometres in a pixel; null: what the file tells. */
  readonly umPerPx: number | null;
}

export interface FileOptions extends PredictOptions {
  /** The class that is in the file; left out: all that are shown. */
  readonly only?: string;
  /** Pixels by which outlines may move. */
  readonly simplify?: number;
}

/**
 * What analyses photographs for the page: a server (lib/server.ts), or this browser itself (lib/offline/analyst.ts). What one
 * of them can't do is null there, and then it is not on the page. Promises reject with ApiError, or the signal's reason.
 */
export interface Analyst {
  /** Of the finished files that it makes. */
  readonly formats: readonly Format[];
  /** What files that it reads and no browser knows end with. */
  readonly suffixes: readonly string[];
  /** The 8-bit probability map of a photograph, to which any threshold is then applied here. */
  readonly predictProbability: (photograph: File, options?: PredictOptions) => Promise<Prediction>;
  /** The 8-bit map of where the model's members differ: 510 × the standard deviation. */
  readonly predictSpread: ((photograph: File, options?: PredictOptions) => Promise<Prediction>) | null;
  /** A finished file of the classes that are shown. */
  readonly predictFile: (photograph: File, format: Format, look: Look, options?: FileOptions) => Promise<Prediction>;
  /** Such files of several photographs, in a ZIP file. `query`: that of `queryOf`, and the format. */
  readonly predictBatch: (
    photographs: readonly File[],
    query: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ) => Promise<Blob>;
  /** The figures of a photograph's vessels, as corrected, at a threshold. */
  readonly predictMeasured:
    | ((photograph: File, threshold: string, options: MeasureOptions, signal: AbortSignal) => Promise<MeasuredDocument>)
    | null;
  readonly fetchHealth: () => Promise<Health>;
  /** The models that can be asked; null where it is always the same one, of one class and one member. */
  readonly fetchModels: (() => Promise<readonly ModelReport[]>) | null;
  /** Takes a key that it asks for, and remembers it until this tab is closed. */
  readonly enterKey: ((key: string) => void) | null;
}

/** What is asked of one class is asked as ever; of several each is called by its name. */
export function queryOf({ layers, opacity }: Look, only?: string): Record<string, string> {
  const [first] = layers;
  if (!first?.name)
    return { threshold: String(first?.threshold), colour: String(first?.colour), opacity: String(opacity) };
  const wanted = layers.filter(({ name, shown }) => (only ? name === only : shown));
  return {
    threshold: layers.map(({ name, threshold }) => `${name}:${threshold}`).join(),
    colour: layers.map(({ name, colour }) => `${name}:${colour}`).join(),
    opacity: String(opacity),
    ...(wanted.length < layers.length && { classes: wanted.map(({ name }) => name).join() }),
  };
}

/** What a request tells of a photograph beside its file: which one of the file it is, and which model is asked. */
export function whichOf({ frame, model }: { readonly frame: Frame | null; readonly model: string | null }) {
  return { ...(frame && { frame: frame.number }), ...(model !== null && { model }) };
}

/** What `whichOf` gives, as the query of a request. */
export function whichQuery({ frame, model }: Pick<PredictOptions, "frame" | "model">): Record<string, string> {
  return { ...(frame !== undefined && { frame: String(frame) }), ...(model !== undefined && { model }) };
}

/** How many maps a model averages; 1 before it is known. */
export function membersOf(models: readonly ModelReport[], name: string | null): number {
  return modelOf(models, name)?.members ?? 1;
}

/** The model of that name, or the one that is asked where none is named; nothing where it is there no longer. */
export function modelOf(models: readonly ModelReport[], name: string | null): ModelReport | undefined {
  return models.find((one) => (name === null ? one.default : one.name === name));
}

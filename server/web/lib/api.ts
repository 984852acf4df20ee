import { ApiError, KEY_NEEDED } from "@/lib/errors";
import { type Histogram, histogramOf } from "@/lib/probability";

export type Format = "mask" | "overlay" | "svg" | "geojson";

/** An answer of POST /predict. */
export interface Prediction {
  readonly file: Blob;
  /** The name that the server gives the file. */
  readonly name: string;
  /** The threshold that was used: the model's own when none was asked for. */
  readonly threshold: number;
  readonly model: string;
  readonly device: string;
  readonly precision: string;
  /** Milliseconds on the server, all stages. */
  readonly milliseconds: number;
  /** Of a probability map, counted in the field of view; null for other files. */
  readonly levels: Histogram | null;
  /** What is doubtful about the photograph, in sentences. */
  readonly warnings: readonly string[];
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
  readonly signal?: AbortSignal;
  /** Called with the sent share of the photograph, 0..1. */
  readonly onSent?: (share: number) => void;
}

const KEY = "vesselrt-key";
const SEVERAL_CLASSES = "ask /predict, the library or the command line for the classes of this model.";

/** The server's API key, which this tab remembers until it is closed. */
export function enterKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

/** Sends one photograph for the 8-bit probability map, to which any threshold is then applied here. */
export function predictProbability(photograph: File, options?: PredictOptions): Promise<Prediction> {
  return predict(photograph, { format: "probability" }, options);
}

/** How a file of results is to look. */
export interface Look {
  readonly threshold: number;
  /** "#rrggbb" */
  readonly colour: string;
  readonly opacity: number;
}

/**
 * Asks the server for a finished file at a threshold. It is not made here: so a download is, byte for byte, what the
 * library and the command line write, and there is one implementation of each format.
 */
export function predictFile(
  photograph: File,
  format: Format,
  { threshold, colour, opacity }: Look,
  options?: PredictOptions,
): Promise<Prediction> {
  const query = { format, threshold: String(threshold), colour, opacity: String(opacity) };
  return predict(photograph, query, options);
}

export async function fetchHealth(): Promise<Health> {
  const answer = await fetch("health", { cache: "no-store" });
  return (await answer.json()) as Health;
}

/** XMLHttpRequest, because fetch does not tell how much has been sent. Rejects with ApiError, or the signal's reason. */
function predict(photograph: File, query: Record<string, string>, options: PredictOptions = {}): Promise<Prediction> {
  const { signal, onSent } = options;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("image", photograph);
    request.open("POST", `predict?${new URLSearchParams(query)}`);
    request.responseType = "blob";
    const key = sessionStorage.getItem(KEY);
    if (key) request.setRequestHeader("X-API-Key", key);
    request.upload.onprogress = ({ loaded, total }) => onSent?.(total ? loaded / total : 0);
    request.upload.onload = () => onSent?.(1);
    request.onload = () => {
      if (request.status !== 200) void apiError(request.response as Blob, request.status).then(reject);
      else if (request.getResponseHeader("X-Vesselrt-Classes")) reject(new ApiError("SeveralClasses", SEVERAL_CLASSES));
      else resolve(prediction(request));
    };
    request.onerror = () => void connectionError().then(reject);
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function prediction(request: XMLHttpRequest): Prediction {
  const header = (name: string) => request.getResponseHeader(name) ?? "";
  return {
    file: request.response as Blob,
    name: /filename="([^"]+)"/.exec(header("Content-Disposition"))?.[1] ?? "vessels",
    threshold: Number(header("X-Vesselrt-Threshold")),
    model: header("X-Vesselrt-Model"),
    device: header("X-Vesselrt-Device"),
    precision: header("X-Vesselrt-Precision"),
    milliseconds: Number(/\btotal;dur=([\d.]+)/.exec(header("Server-Timing"))?.[1] ?? 0),
    levels: histogramOf(header("X-Vesselrt-Levels")),
    warnings: header("X-Vesselrt-Warnings").split(" | ").filter(Boolean),
    seen: !header("X-Vesselrt-Scale").includes("guessed"),
  };
}

async function apiError(body: Blob, status: number): Promise<ApiError> {
  try {
    const { error } = JSON.parse(await body.text()) as { error: { type: string; message: string } };
    return new ApiError(status === 401 ? KEY_NEEDED : error.type, error.message);
  } catch {
    return new ApiError("", `The server answered with status ${status}.`);
  }
}

/** A server that refuses a body closes the connection before all is sent, which looks like no connection at all. */
async function connectionError(): Promise<ApiError> {
  try {
    await fetchHealth();
  } catch {
    return new ApiError("Unreachable", "");
  }
  return new ApiError("CutOff", "");
}

import {
  type Analyst,
  type FileOptions,
  type Format,
  type Health,
  type Look,
  type MeasuredDocument,
  type MeasureOptions,
  type ModelReport,
  type Prediction,
  type PredictOptions,
  queryOf,
  whichQuery,
} from "@/lib/api";
import { ApiError, failure } from "@/lib/errors";
import { outlinesOf } from "@/lib/field";
import { frameOf } from "@/lib/frames";
import { histogramOf } from "@/lib/probability";
import { qualityOf } from "@/lib/quality";

const KEY = "vesselrt-key";

/** The HTTP API of vesselrt, from where the page comes. */
export const server: Analyst = {
  formats: ["mask", "overlay", "svg", "geojson"],
  suffixes: [".tif", ".tiff", ".dcm"],
  predictProbability,
  predictSpread,
  predictFile,
  predictBatch,
  predictMeasured,
  fetchHealth,
  fetchModels,
  enterKey,
};

/** The server's API key, which this tab remembers until it is closed. */
function enterKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

/** Sends one photograph for the 8-bit probability map, to which any threshold is then applied here. */
function predictProbability(photograph: File, options?: PredictOptions): Promise<Prediction> {
  return predict(photograph, { format: "probability" }, options);
}

/** Sends one photograph for the 8-bit map of where the model's members differ: 510 × the standard deviation. */
function predictSpread(photograph: File, options?: PredictOptions): Promise<Prediction> {
  return predict(photograph, { format: "spread" }, options);
}

/**
 * Asks the server for a finished file of the classes that are shown, or of `only` one; `simplify`: pixels by which outlines may move. It is not made here: so a download
 * is, byte for byte, what the library and the command line write, and there is one implementation of each format.
 */
function predictFile(photograph: File, format: Format, look: Look, options?: FileOptions): Promise<Prediction> {
  const simplify = options?.simplify ? { simplify: String(options.simplify) } : {};
  return predict(photograph, { format, ...queryOf(look, options?.only), ...simplify }, options);
}

/** Asks for the finished files of several photographs at once: a ZIP file. Rejects with ApiError, or the signal's reason. */
async function predictBatch(
  photographs: readonly File[],
  query: Record<string, string>,
  signal?: AbortSignal,
): Promise<Blob> {
  const form = new FormData();
  for (const photograph of photographs) form.append("image", photograph);
  return (await post("predict/batch", form, query, "application/zip", signal)).blob();
}

/** Asks for the figures of a photograph's vessels, as corrected, at a threshold. Rejects with ApiError, or the signal's reason. */
async function predictMeasured(
  photograph: File,
  threshold: string,
  { correction, umPerPx, ...which }: MeasureOptions,
  signal: AbortSignal,
): Promise<MeasuredDocument> {
  const form = new FormData();
  form.append("image", photograph);
  if (correction) form.append("correction", correction, "correction.png");
  const scale = umPerPx !== null && { um_per_px: String(umPerPx) };
  const query = { format: "json", measure: "true", threshold, ...whichQuery(which), ...scale };
  return (await post("predict", form, query, "application/json", signal)).json() as Promise<MeasuredDocument>;
}

/** Sends photographs for an answer of a media type. Rejects with ApiError, or the signal's reason. */
async function post(
  path: string,
  body: FormData,
  query: Record<string, string>,
  type: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const headers = { Accept: type, ...keyHeader() };
  const options = { method: "POST", body, headers, ...(signal && { signal }) };
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, options).catch(async () => {
    signal?.throwIfAborted();
    throw await connectionError();
  });
  if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith(type))
    throw failure(answer.status, await answer.text(), keyHeader() !== undefined);
  return answer;
}

async function fetchHealth(): Promise<Health> {
  const answer = await fetch("health", { cache: "no-store" });
  return (await answer.json()) as Health;
}

/** What GET /models tells. Rejects with ApiError. */
async function fetchModels(): Promise<readonly ModelReport[]> {
  const answer = await askForModels();
  if (!answer.ok) throw failure(answer.status, await answer.text(), keyHeader() !== undefined);
  return ((await answer.json()) as { models: ModelReport[] }).models;
}

function askForModels(): Promise<Response> {
  const headers = keyHeader();
  return fetch("models", { cache: "no-store", ...(headers && { headers }) });
}

function keyHeader(): { "X-API-Key": string } | undefined {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : undefined;
}

/** XMLHttpRequest, because fetch does not tell how much has been sent. Rejects with ApiError, or the signal's reason. */
function predict(photograph: File, query: Record<string, string>, options: PredictOptions = {}): Promise<Prediction> {
  const { signal, correction, onSent } = options;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("image", photograph);
    if (correction) form.append("correction", correction, "correction.png");
    request.open("POST", `predict?${new URLSearchParams({ ...query, ...whichQuery(options) })}`);
    request.responseType = "blob";
    const key = keyHeader();
    if (key) request.setRequestHeader("X-API-Key", key["X-API-Key"]);
    request.upload.onprogress = ({ loaded, total }) => onSent?.(total ? loaded / total : 0);
    request.upload.onload = () => onSent?.(1);
    request.onload = () => {
      const { status, response } = request;
      if (status === 200 && request.getResponseHeader("X-Vesselrt-Model")) resolve(prediction(request));
      else void (response as Blob).text().then((text) => reject(failure(status, text, key !== undefined)));
    };
    request.onerror = () => void connectionError().then(reject);
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function prediction(request: XMLHttpRequest): Prediction {
  const header = (name: string) => request.getResponseHeader(name) ?? "";
  const threshold = header("X-Vesselrt-Threshold");
  const classes = header("X-Vesselrt-Classes")
    .split(",")
    .filter(Boolean)
    .map((name, number) => ({ name, threshold: numberIn(threshold.split(",")[number] ?? "") }));
  return {
    file: request.response as Blob,
    name: fileName(header("Content-Disposition")) ?? "vessels",
    threshold: classes[0]?.threshold ?? Number(threshold),
    classes,
    model: header("X-Vesselrt-Model"),
    device: header("X-Vesselrt-Device"),
    precision: header("X-Vesselrt-Precision"),
    milliseconds: Number(/\btotal;dur=([\d.]+)/.exec(header("Server-Timing"))?.[1] ?? 0),
    levels: histogramOf(header("X-Vesselrt-Levels")),
    outlines: outlinesOf(header("X-Vesselrt-Fields-Of-View")),
    frame: frameOf(header("X-Vesselrt-Frame")),
    umPerPx: Number(header("X-Vesselrt-Um-Per-Px")) || null,
    warnings: header("X-Vesselrt-Warnings").split(" | ").filter(Boolean),
    quality: qualityOf(header("X-Vesselrt-Quality")),
    seen: !header("X-Vesselrt-Scale").includes("guessed"),
  };
}

/** The number after a name, as in "artery:0.5". */
function numberIn(text: string): number {
  return Number(text.slice(text.lastIndexOf(":") + 1));
}

/** The file name of a Content-Disposition, of RFC 6266's two the one that may hold any letter. */
export function fileName(disposition: string): string | undefined {
  const any = /filename\*=UTF-8''([^;\s]+)/i.exec(disposition)?.[1];
  return any ? decodeURIComponent(any) : /filename="([^"]+)"/.exec(disposition)?.[1];
}

/**
 * Why a connection broke. A server that refuses a body, for its size or for want of a key, closes the connection before all
 * is sent, which looks like no connection at all.
 */
async function connectionError(): Promise<ApiError> {
  try {
    const answer = await askForModels();
    if (answer.status === 401) return failure(401, await answer.text(), keyHeader() !== undefined);
    if (answer.status >= 500) return failure(answer.status, await answer.text(), false);
  } catch {
    return new ApiError("Unreachable", "");
  }
  return new ApiError("CutOff", "");
}

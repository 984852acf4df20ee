import type { MeasuredDocument } from "@/lib/api";
import { wordsOf } from "@/lib/errors";
import { type Measured, reasonsOf, thresholdOf } from "@/lib/measurements";
import { en } from "@/lib/messages/en";
import type { Photograph, Result } from "@/lib/strip";
import { sharesOf, stateOf } from "@/lib/worklist";

// The names, and what they mean, are those of `vesselrt measure`: docs/measures.md. `state` and `corrected` are the
// page's own.
const PHOTOGRAPH = ["file", "frame", "state", "width", "height"];
const FIELD = ["field_diameter_px", "scale", "um_per_px"];
const MODEL = ["model", "model_version", "device", "precision", "threshold", "corrected"];
const DOUBTS = ["reasons", "quality", "quality_reasons", "warnings", "error"];
const FORMULA = /^[=+\-@\t\r]/; // what spreadsheets would compute
const NOT_COUNTED = "its pixels are not counted yet";

export type Row = Readonly<Record<string, string | number | null>>;

/**
 * All photographs as CSV (RFC 4180, UTF-8 with a mark for spreadsheets), a row for each. What is unknown is empty: `reasons`,
 * or of a photograph without a result `error`, tells why. `measured`: what the server has measured, by the photographs' ids. `corrected` is
 * "yes" where a person has corrected the mask. In English whatever the page speaks, for programs read it too.
 */
export function tableOf(
  photographs: readonly Photograph[],
  measured: ReadonlyMap<number, Measured> | null = null,
): string {
  const rows = photographs.map((one) => rowOf(one, measured?.get(one.id)));
  const known = new Set([...PHOTOGRAPH, ...FIELD, ...MODEL, ...DOUBTS]);
  const figures = new Set(rows.flatMap(Object.keys).filter((name) => !known.has(name)));
  const frames = rows.some(({ frame }) => frame); // few files have them
  const all = [...PHOTOGRAPH, ...(measured ? FIELD : []), ...MODEL, ...figures, ...DOUBTS];
  const head = all.filter((name) => frames || name !== "frame");
  return csvOf(head, rows);
}

/** CSV (RFC 4180, UTF-8 with a mark for spreadsheets) of some columns. */
export function csvOf(head: readonly string[], rows: readonly Row[]): string {
  const lines = [head, ...rows.map((row) => head.map((name) => cell(row[name])))];
  return `\ufeff${lines.map((line) => line.join()).join("\r\n")}\r\n`;
}

function rowOf(photograph: Photograph, measured: Measured | undefined): Row {
  const { file, frame, progress } = photograph;
  const row = { file: file.name, frame: frame && frame.of > 1 ? frame.number : null, state: stateOf(photograph) };
  if (progress.step === "failed") return { ...row, error: wordsOf(progress.trouble, en).title };
  if (progress.step !== "done") return row;
  const { result } = progress;
  const [model, version] = modelOf(result);
  return {
    ...row,
    width: result.width,
    height: result.height,
    model,
    model_version: version,
    device: result.device,
    precision: result.precision,
    threshold: thresholdOf(photograph),
    corrected: photograph.corrected?.some ? "yes" : null,
    ...(measured && "document" in measured ? figuresOf(measured.document) : densitiesOf(photograph, measured?.why)),
    quality: result.quality?.verdict ?? null,
    quality_reasons: result.quality?.reasons.join(" ") ?? null,
    warnings: result.warnings.join(" "),
  };
}

/** What the server has measured. */
function figuresOf(document: MeasuredDocument): Row {
  const { fields_of_view: fields, measurements } = document;
  return {
    field_diameter_px: fields[0]?.diameter ?? null,
    scale: fields[0]?.scale ?? null,
    um_per_px: measurements.um_per_px,
    ...measurements.figures,
    reasons: reasonsOf(document),
  };
}

/** What the page itself knows; `why` there is no more. */
function densitiesOf(photograph: Photograph, why = ""): Row {
  const { progress } = photograph;
  const classes = progress.step === "done" ? progress.result.classes : [];
  const shares = sharesOf(photograph);
  const names = classes.length ? classes.map(({ name }) => `${name}_density`) : ["density"];
  return {
    ...Object.fromEntries(names.map((name, number) => [name, shares?.[number] ?? null])),
    reasons: [shares ? "" : `${names.join(" ")}: ${NOT_COUNTED}`, why].filter(Boolean).join("; "),
  };
}

/** Name and version: the version is the last word. */
function modelOf({ model }: Result): [name: string, version: string] {
  const end = model.lastIndexOf(" ");
  return [model.slice(0, end), model.slice(end + 1)];
}

function cell(value: string | number | null | undefined): string {
  if (typeof value === "number") return String(value); // a negative one is no formula
  const text = value ?? "";
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

import { wordsOf } from "@/lib/errors";
import { en } from "@/lib/messages/en";
import { layersOf } from "@/lib/settings";
import type { Photograph, Result } from "@/lib/strip";
import { sharesOf, stateOf } from "@/lib/worklist";

const HEAD = [
  "file",
  "frame",
  "class",
  "width",
  "height",
  "threshold",
  "density",
  "model",
  "version",
  "state",
  "warnings",
];
const PLAIN = { colour: "", classes: {} };
const FORMULA = /^[=+\-@\t\r]/; // what spreadsheets would compute

/**
 * All photographs as CSV (RFC 4180, UTF-8 with a mark for spreadsheets): a row for each, or for each of its classes. Densities
 * are shares of the field of view, 0..1. What has no result has a row too: `warnings` tells why. In
 * English whatever the page speaks, for programs read it too.
 */
export function tableOf(photographs: readonly Photograph[]): string {
  const rows = photographs.flatMap(rowsOf);
  const told = [0, 1, 2].map((column) => rows.some((row) => row[column])); // few files have frames, few models classes
  const lines = [HEAD, ...rows].map((row) =>
    row
      .filter((_, column) => told[column] ?? true)
      .map(cell)
      .join(),
  );
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

function rowsOf(photograph: Photograph): string[][] {
  const { file, frame, progress, thresholds } = photograph;
  const place = frame && frame.of > 1 ? String(frame.number) : "";
  const state = stateOf(photograph);
  if (progress.step !== "done") {
    const why = progress.step === "failed" ? wordsOf(progress.trouble, en).title : "";
    return [[file.name, place, "", "", "", "", "", "", "", state, why]];
  }
  const { result } = progress;
  const [model, version] = modelOf(result);
  const shares = sharesOf(photograph);
  return layersOf(result, thresholds, PLAIN).map(({ name, threshold }, number) => [
    file.name,
    place,
    name,
    String(result.width),
    String(result.height),
    String(threshold),
    shares?.[number]?.toFixed(6) ?? "",
    model,
    version,
    state,
    result.warnings.join(" "),
  ]);
}

/** Name and version: the version is the last word. */
function modelOf({ model }: Result): [name: string, version: string] {
  const end = model.lastIndexOf(" ");
  return [model.slice(0, end), model.slice(end + 1)];
}

function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

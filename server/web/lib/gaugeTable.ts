import type { Gauge, Reading } from "@/lib/gauge";
import { thresholdOf } from "@/lib/measurements";
import { readingsOf, scaleOf } from "@/lib/readings";
import { layersOf, type Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";
import { csvOf, type Row } from "@/lib/table";
import type { Point } from "@/lib/viewport";

const HEAD = [
  ...["file", "frame", "number", "kind", "class", "x1", "y1", "x2", "y2"],
  ...["length_px", "length_um", "density", "um_per_px", "threshold", "corrected"],
];
const KINDS = { length: "ruler", width: "calliper", rectangle: "rectangle", ellipse: "ellipse" } as const;
const NO_LOOK = { colour: "", classes: {} };

/**
 * What was measured on photographs as CSV, a row for each ruler and calliper, and for each class of a region. Points are
 * pixels of the photograph: a calliper's are on the vessel's edges, of a class that is shown. What can't be read is empty.
 * English, for programs.
 */
export async function gaugeTableOf(
  photographs: readonly Photograph[],
  look: Pick<Settings, "colour" | "classes">,
): Promise<string> {
  const rows: Row[] = [];
  for (const photograph of photographs) {
    const { file, frame, corrected } = photograph;
    const head = { file: file.name, frame: frame && frame.of > 1 ? frame.number : null };
    const foot = {
      um_per_px: scaleOf(photograph),
      threshold: thresholdOf(photograph),
      corrected: corrected?.some ? "yes" : null,
    };
    for (const [gauge, reading] of await readingsOf(photograph, look))
      for (const row of rowsOf(gauge, reading, photograph)) rows.push({ ...head, ...row, ...foot });
  }
  return csvOf(HEAD, rows);
}

function rowsOf(gauge: Gauge, reading: Reading, photograph: Photograph): Row[] {
  const { number, kind, from, to } = gauge;
  const { progress, thresholds } = photograph;
  const layers = layersOf(progress.step === "done" ? progress.result : null, thresholds, NO_LOOK);
  const head = { number, kind: KINDS[kind] };
  switch (reading.kind) {
    case "length":
      return [{ ...head, ...points(from, to), ...lengths(reading.px, photograph) }];
    case "width": {
      const { calibre } = reading;
      if (!calibre) return [{ ...head, ...points(from, from) }];
      const name = layers[calibre.layer]?.name ?? "";
      return [{ ...head, class: name, ...points(calibre.from, calibre.to), ...lengths(calibre.px, photograph) }];
    }
    default:
      return layers.map(({ name }, at) => ({
        ...head,
        class: name,
        ...points(from, to),
        density: reading.shares?.[at] ?? null,
      }));
  }
}

function points(from: Point, to: Point): Row {
  return { x1: hundredth(from.x), y1: hundredth(from.y), x2: hundredth(to.x), y2: hundredth(to.y) };
}

function lengths(px: number, photograph: Photograph): Row {
  const umPerPx = scaleOf(photograph);
  return { length_px: hundredth(px), length_um: umPerPx === null ? null : hundredth(px * umPerPx) };
}

function hundredth(value: number): number {
  return Math.round(100 * value) / 100;
}

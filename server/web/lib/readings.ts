import { calibreAt } from "@/lib/calibre";
import type { Layer, Maps } from "@/lib/classes";
import { correctedMaps } from "@/lib/corrected";
import { mapOf, mapsOf } from "@/lib/decoded";
import { insideOf } from "@/lib/field";
import { distance, type Gauge, isRegion, type Reading } from "@/lib/gauge";
import type { Messages } from "@/lib/messages";
import { type Region, regionBelow, sharesIn } from "@/lib/regionDensity";
import { layersOf, type Settings } from "@/lib/settings";
import type { Photograph, Result } from "@/lib/strip";

/** Micrometres in a pixel: what a person says goes before what the file tells; null: not known. */
export function scaleOf({ umPerPx, progress }: Photograph): number | null {
  return umPerPx ?? (progress.step === "done" ? progress.result.umPerPx : null) ?? null;
}

/** What can be read at once; null for a region, whose pixels are counted. */
export function readingAt(gauge: Gauge, maps: Maps, layers: readonly Layer[]): Reading | null {
  if (gauge.kind === "length") return { kind: "length", px: distance(gauge.from, gauge.to) };
  return gauge.kind === "width" ? { kind: "width", calibre: calibreAt(maps, layers, gauge.from) } : null;
}

/** 1 for each pixel of the field of view, as densities are counted everywhere; null where it is the image. */
export function fieldOf({ outlines, width, height }: Pick<Result, "outlines" | "width" | "height">): Uint8Array | null {
  return outlines.length ? insideOf(outlines, { width, height }) : null;
}

/** What a region reads. `region`: as `regionBelow` has found it. */
export async function countedIn(
  { kind }: Gauge,
  region: Region | null,
  layers: readonly Layer[],
): Promise<Reading | null> {
  if (kind !== "rectangle" && kind !== "ellipse") return null;
  return { kind, shares: region && (await sharesIn(region, layers)) };
}

/** What everything reads that was put on a photograph, at its thresholds and as corrected: its map is decoded for it. */
export async function readingsOf(
  photograph: Photograph,
  look: Pick<Settings, "colour" | "classes">,
): Promise<(readonly [Gauge, Reading])[]> {
  const { progress, gauges, thresholds, corrected } = photograph;
  if (progress.step !== "done" || !gauges.length) return [];
  const { result } = progress;
  const layers = layersOf(result, thresholds, look);
  const own = mapsOf(await mapOf(result.map), layers.length);
  const maps = { maps: correctedMaps(own, corrected), exclusive: result.exclusive };
  const field = gauges.some(isRegion) ? fieldOf(result) : null;
  const found: (readonly [Gauge, Reading])[] = [];
  for (const gauge of gauges) {
    const reading =
      readingAt(gauge, maps, layers) ?? (await countedIn(gauge, regionBelow(gauge, maps, field), layers))!;
    found.push([gauge, reading]);
  }
  return found;
}

/** All that is measured on a photograph, in one line; empty where nothing is. */
export function measuredText(
  readings: readonly (readonly [Gauge, Reading | undefined])[],
  layers: readonly Layer[],
  umPerPx: number | null,
  words: Pick<Messages, "gauge" | "number" | "percent">,
): string {
  const { gauge } = words;
  const told = readings.map(([{ kind, number }, reading]) => {
    const name = gauge.name(gauge.kinds[kind], number);
    return `${name}: ${readingText(reading, layers, umPerPx, words)}`;
  });
  return told.join("; ");
}

/** A figure with its unit, in µm too where the scale is known; of what is not read yet nothing. */
export function readingText(
  reading: Reading | undefined,
  layers: readonly Layer[],
  umPerPx: number | null,
  { gauge: words, number, percent }: Pick<Messages, "gauge" | "number" | "percent">,
): string {
  const lengthText = (px: number) =>
    [words.px(number(px, 1)), ...(umPerPx === null ? [] : [words.um(number(px * umPerPx, 0))])].join(" · ");
  if (!reading) return "";
  switch (reading.kind) {
    case "length":
      return lengthText(reading.px);
    case "width": {
      const { calibre } = reading;
      if (!calibre) return words.noVessel;
      return [layers[calibre.layer]?.name, lengthText(calibre.px)].filter(Boolean).join(" ");
    }
    default: {
      const { shares } = reading;
      if (!shares) return words.outside;
      const shown = layers.flatMap(({ name, shown }, of) => (shown ? `${name} ${percent(shares[of])}`.trim() : []));
      return shown.join(" · ");
    }
  }
}

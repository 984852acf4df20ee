import { type Dispatch, useMemo, useState } from "react";

import { useReadings } from "@/hooks/useReadings";
import type { Layer } from "@/lib/classes";
import { type Gauge, type GaugeKind, type GaugePart, isEmpty, nextNumber, type Reading } from "@/lib/gauge";
import { readingAt, scaleOf } from "@/lib/readings";
import type { Picture } from "@/lib/renderer";
import type { Photograph, Result, StripAction } from "@/lib/strip";

/** A part of a gauge that has the focus, or gets it. */
export interface GaugeFocus {
  readonly number: number;
  readonly part: GaugePart;
}

export interface GaugeControl {
  /** What is put on the photograph next; null: nothing is measured. */
  readonly tool: GaugeKind | null;
  readonly choose: (tool: GaugeKind | null) => void;
  /** Those of the photograph, and the one that is drawn just now. */
  readonly gauges: readonly Gauge[];
  readonly readings: ReadonlyMap<number, Reading>;
  readonly layers: readonly Layer[];
  /** Micrometres in a pixel; null: not known. */
  readonly umPerPx: number | null;
  /** The number of the next one. */
  readonly next: number;
  /** Shows a gauge as it is drawn, without keeping it; null: shows it no longer. */
  readonly draw: (gauge: Gauge | null) => void;
  readonly drawing: boolean;
  /** Keeps a gauge, in place of the one with its number, and gives the focus to a part of it. */
  readonly keep: (gauge: Gauge, part: GaugePart) => void;
  /** The same for a new one, if it reads something: a press beside all vessels leaves no calliper. */
  readonly offer: (gauge: Gauge, part: GaugePart) => void;
  /** Whether the last one that was offered was not kept. */
  readonly missed: boolean;
  readonly remove: (number: number) => void;
  readonly focus: GaugeFocus | null;
}

const NONE: readonly Gauge[] = [];

/** What is measured on the photograph that is looked at, and what changes it. */
export function useGauges(
  selected: Photograph | undefined,
  result: Result | null,
  picture: Picture | null,
  layers: readonly Layer[],
  version: string,
  dispatch: Dispatch<StripAction>,
): GaugeControl {
  const [tool, choose] = useState<GaugeKind | null>(null);
  const [draft, setDraft] = useState<{ readonly id: number; readonly gauge: Gauge } | null>(null);
  const [missed, setMissed] = useState(false);
  const [focus, setFocus] = useState<GaugeFocus | null>(null);
  const { id, gauges: own = NONE } = selected ?? {};
  const drawn = tool && draft && draft.id === id ? draft.gauge : null; // another photograph may be looked at by now
  const gauges = useMemo(() => (drawn ? put(own, drawn) : own), [own, drawn]);
  const readings = useReadings(gauges, result, picture, layers, version);

  const draw = (gauge: Gauge | null) => {
    setMissed(false);
    setDraft(gauge && id !== undefined ? { id, gauge } : null);
  };
  const change = (gauges: readonly Gauge[]) => {
    draw(null);
    if (id !== undefined) dispatch({ type: "gauges", id, gauges });
  };
  const keep = (gauge: Gauge, part: GaugePart) => {
    if (isEmpty(gauge)) return draw(null);
    change(put(own, gauge));
    setFocus({ number: gauge.number, part });
  };
  return {
    tool: result && tool,
    choose: (tool) => {
      draw(null);
      choose(tool);
    },
    gauges,
    readings,
    layers,
    umPerPx: selected ? scaleOf(selected) : null,
    next: nextNumber(own),
    draw,
    drawing: drawn !== null,
    keep,
    offer: (gauge, part) => {
      const reading = picture?.maps.length ? readingAt(gauge, picture, layers) : null;
      if (reading?.kind !== "width" || reading.calibre) return keep(gauge, part);
      draw(null);
      setMissed(true);
    },
    missed,
    remove: (number) => change(own.filter((one) => one.number !== number)),
    focus,
  };
}

/** The same with a gauge in place of the one with its number, or behind the others. */
function put(gauges: readonly Gauge[], gauge: Gauge): readonly Gauge[] {
  const there = gauges.some(({ number }) => number === gauge.number);
  return there ? gauges.map((one) => (one.number === gauge.number ? gauge : one)) : [...gauges, gauge];
}

import { useEffect, useMemo, useState } from "react";

import type { Layer } from "@/lib/classes";
import { type Gauge, isRegion, type Reading } from "@/lib/gauge";
import { countedIn, fieldOf, readingAt } from "@/lib/readings";
import { type Region, regionBelow } from "@/lib/regionDensity";
import type { Picture } from "@/lib/renderer";
import type { Result } from "@/lib/strip";

interface Counted {
  readonly of: Result | null;
  readonly found: ReadonlyMap<number, Reading>;
}

/**
 * What each gauge reads now, by its number; left out: not known yet. `version`: of the picture's maps, where they change.
 * Lengths and widths are read as the page is drawn; regions are counted beside it, most of them before the next frame.
 */
export function useReadings(
  gauges: readonly Gauge[],
  result: Result | null,
  picture: Picture | null,
  layers: readonly Layer[],
  version: string,
): ReadonlyMap<number, Reading> {
  const [counted, setCounted] = useState<Counted | null>(null);
  const maps = picture?.maps.length === layers.length && result ? picture : null;
  const some = gauges.some(isRegion);
  const field = useMemo(() => (some && result ? fieldOf(result) : null), [some, result]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another version has other pixels
  const regions = useMemo(() => new WeakMap<Gauge, Region | null>(), [maps, field, version]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  const read = useMemo(() => new WeakMap<Gauge, Reading | null>(), [maps, layers, version]);

  useEffect(() => {
    if (!maps || !some) return;
    let wanted = true;
    const count = async () => {
      const found = new Map<number, Reading>();
      for (const gauge of gauges.filter(isRegion)) {
        if (!regions.has(gauge)) regions.set(gauge, regionBelow(gauge, maps, field));
        const reading = await countedIn(gauge, regions.get(gauge)!, layers);
        if (!wanted) return;
        if (reading) found.set(gauge.number, reading);
      }
      setCounted({ of: result, found });
    };
    void count();
    return () => {
      wanted = false;
    };
  }, [gauges, result, maps, layers, field, regions, some]);

  if (!maps) return new Map();
  const before = counted?.of === result ? counted?.found : undefined; // of a region that moves, until it is counted again
  const atOnce = gauges.flatMap((gauge) => {
    if (!read.has(gauge)) read.set(gauge, readingAt(gauge, maps, layers));
    const reading = read.get(gauge) ?? before?.get(gauge.number);
    return reading?.kind === gauge.kind ? [[gauge.number, reading] as const] : [];
  });
  return new Map(atOnce);
}

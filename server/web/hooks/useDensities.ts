import { useEffect, useMemo, useState } from "react";

import { densities, type Layer } from "@/lib/classes";
import { insideOf, type Outline } from "@/lib/field";
import { density } from "@/lib/probability";
import type { Picture } from "@/lib/renderer";
import type { Result } from "@/lib/strip";

const NONE: readonly Outline[] = [];
const MOMENT = 60; // ms that thresholds rest before pixels are counted

/** The density of each layer 0..1; undefined where it is not known. `version`: of the picture's maps, where they change. */
export function useDensities(
  result: Result | null,
  picture: Picture | null,
  layers: readonly Layer[],
  version: string,
): (number | undefined)[] {
  const [counted, setCounted] = useState<{ picture: Picture; shares: number[] } | null>(null);
  const { width = 0, height = 0, outlines = NONE, counts = null } = result ?? {};
  const inside = useMemo(
    () => (outlines.length && !counts ? insideOf(outlines, { width, height }) : null),
    [outlines, counts, width, height],
  );

  // Of one class the server has counted; of several the pixels are counted here, once the sliders rest.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another version has other pixels
  useEffect(() => {
    if (!picture?.maps.length || !inside) return;
    let wanted = true;
    const timer = window.setTimeout(() => {
      void densities(picture, layers, inside).then((shares) => wanted && setCounted({ picture, shares }));
    }, MOMENT);
    return () => {
      wanted = false;
      window.clearTimeout(timer);
    };
  }, [picture, layers, inside, version]);

  const [first] = layers;
  if (counts && first) return [density(counts, first.threshold)];
  const shares = inside && counted?.picture === picture ? counted?.shares : undefined;
  return layers.map((_, number) => shares?.[number]);
}

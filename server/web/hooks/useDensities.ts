import { useEffect, useMemo, useState } from "react";

import { densities, type Layer } from "@/lib/classes";
import { insideOf, type Outline } from "@/lib/field";
import { density } from "@/lib/probability";
import type { Picture } from "@/lib/renderer";
import type { Result } from "@/lib/strip";

const NONE: readonly Outline[] = [];
const MOMENT = 60; // ms that thresholds rest before pixels are counted

/** The density of each layer 0..1; undefined where it is not known. */
export function useDensities(
  result: Result | null,
  picture: Picture | null,
  layers: readonly Layer[],
): (number | undefined)[] {
  const [counted, setCounted] = useState<{ picture: Picture; shares: number[] } | null>(null);
  const { width = 0, height = 0, outlines = NONE } = result ?? {};
  const inside = useMemo(
    () => (outlines.length ? insideOf(outlines, { width, height }) : null),
    [outlines, width, height],
  );

  // Of one class the server has counted; of several the pixels are counted here, once the sliders rest.
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
  }, [picture, layers, inside]);

  const [first] = layers;
  if (result?.counts && first) return [density(result.counts, first.threshold)];
  const shares = inside && counted?.picture === picture ? counted?.shares : undefined;
  return layers.map((_, number) => shares?.[number]);
}

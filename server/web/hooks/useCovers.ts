import { type Dispatch, useEffect } from "react";

import { coverOf } from "@/lib/cover";
import { layersOf } from "@/lib/settings";
import type { Cover, Photograph, Strip, StripAction } from "@/lib/strip";
import { coverKey } from "@/lib/worklist";

const PLAIN = { colour: "", classes: {} };

/** Makes what the worklist lays over photographs while it is seen: of one at a time, where it is not of its thresholds and correction. */
export function useCovers({ photographs, screen }: Strip, dispatch: Dispatch<StripAction>): void {
  const stale = screen === "worklist" ? photographs.find(isStale) : undefined;
  const { id, thresholds, corrected = null, cover } = stale ?? {};
  const result = stale?.progress.step === "done" ? stale.progress.result : undefined;

  useEffect(() => {
    if (id === undefined || !result || !thresholds) return;
    let wanted = true;
    const layers = layersOf(result, thresholds, PLAIN);
    const none: Cover = { of: coverKey(layers, corrected), masks: [], shares: null }; // a map that can't be read is not read again
    void coverOf(result, layers, corrected)
      .catch(() => none)
      .then((made) => {
        if (wanted) dispatch({ type: "cover", id, cover: made });
        revoke(wanted ? cover : made);
      });
    return () => {
      wanted = false;
    };
  }, [id, result, thresholds, corrected, cover, dispatch]);
}

function isStale({ progress, thresholds, corrected, cover }: Photograph): boolean {
  return progress.step === "done" && cover?.of !== coverKey(layersOf(progress.result, thresholds, PLAIN), corrected);
}

function revoke(cover: Cover | null | undefined): void {
  for (const mask of cover?.masks ?? []) URL.revokeObjectURL(mask);
}

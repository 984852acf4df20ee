import { type Dispatch, useEffect } from "react";

import { coverOf } from "@/lib/cover";
import { layersOf } from "@/lib/settings";
import type { Cover, Photograph, Strip, StripAction } from "@/lib/strip";
import { thresholdsKey } from "@/lib/worklist";

const PLAIN = { colour: "", classes: {} };

/** Makes what the worklist lays over photographs while it is seen: of one at a time, where it is not of its thresholds. */
export function useCovers({ photographs, screen }: Strip, dispatch: Dispatch<StripAction>): void {
  const stale = screen === "worklist" ? photographs.find(isStale) : undefined;
  const { id, thresholds, cover } = stale ?? {};
  const result = stale?.progress.step === "done" ? stale.progress.result : undefined;

  useEffect(() => {
    if (id === undefined || !result || !thresholds) return;
    let wanted = true;
    const layers = layersOf(result, thresholds, PLAIN);
    const none: Cover = { of: thresholdsKey(layers), masks: [], shares: null }; // a map that can't be read is not read again
    void coverOf(result, layers)
      .catch(() => none)
      .then((made) => {
        if (wanted) dispatch({ type: "cover", id, cover: made });
        revoke(wanted ? cover : made);
      });
    return () => {
      wanted = false;
    };
  }, [id, result, thresholds, cover, dispatch]);
}

function isStale({ progress, thresholds, cover }: Photograph): boolean {
  return progress.step === "done" && cover?.of !== thresholdsKey(layersOf(progress.result, thresholds, PLAIN));
}

function revoke(cover: Cover | null | undefined): void {
  for (const mask of cover?.masks ?? []) URL.revokeObjectURL(mask);
}

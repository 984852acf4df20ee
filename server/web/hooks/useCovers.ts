import { type Dispatch, useEffect } from "react";

import { coverOf, revokeCover } from "@/lib/cover";
import { layersOf } from "@/lib/settings";
import type { Photograph, Strip, StripAction } from "@/lib/strip";
import { coverKey } from "@/lib/worklist";

const PLAIN = { colour: "", classes: {} };

/** Makes what the worklist lays over photographs while it is seen: of one at a time, where it is not of its thresholds and correction. */
export function useCovers({ photographs, screen }: Strip, dispatch: Dispatch<StripAction>): void {
  const stale = screen === "worklist" ? photographs.find(isStale) : undefined;
  const { id, model = null, thresholds, corrected = null } = stale ?? {};
  const result = stale?.progress.step === "done" ? stale.progress.result : undefined;

  useEffect(() => {
    if (id === undefined || !result || !thresholds) return;
    let wanted = true;
    const layers = layersOf(result, thresholds, PLAIN);
    const none = { masks: [], shares: null }; // a map that can't be read is not read again
    void coverOf(result, layers, corrected)
      .catch(() => none)
      .then((made) => {
        if (wanted) dispatch({ type: "cover", id, cover: { of: coverKey({ model, corrected }, layers), ...made } });
        else revokeCover(made);
      });
    return () => {
      wanted = false;
    };
  }, [id, model, result, thresholds, corrected, dispatch]);
}

function isStale(photograph: Photograph): boolean {
  const { progress, thresholds, cover } = photograph;
  return progress.step === "done" && cover?.of !== coverKey(photograph, layersOf(progress.result, thresholds, PLAIN));
}

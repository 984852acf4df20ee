import { useEffect, useMemo, useState } from "react";

import { analyst } from "@/lib/analyst";
import { mapOf, mapsOf } from "@/lib/decoded";
import type { Grey } from "@/lib/png";
import type { Picture } from "@/lib/renderer";
import type { Photograph, Result } from "@/lib/strip";

const spreads = new WeakMap<Result, Blob>(); // compressed, as the maps are kept

/** The same picture with the spreads of a model's members in place of its maps; without any before they are there. */
export function useSpread(
  photograph: Photograph | undefined,
  picture: Picture | null,
  wanted: boolean,
): Picture | null {
  const result = photograph?.progress.step === "done" ? photograph.progress.result : undefined;
  const [shown, setShown] = useState<{ result: Result; maps: readonly Grey[] } | null>(null);
  const { file, frame, model = null } = photograph ?? {};
  const number = frame?.number;

  useEffect(() => {
    const { predictSpread } = analyst;
    if (!wanted || !file || !result || !predictSpread) return setShown(null);
    const stop = new AbortController();
    const { signal } = stop;
    const load = async () => {
      const spread =
        spreads.get(result) ?? (await predictSpread(file, { signal, frame: number, model: model ?? undefined })).file;
      spreads.set(result, spread);
      const maps = mapsOf(await mapOf(spread), result.classes.length || 1);
      if (!signal.aborted) setShown({ result, maps });
    };
    void load().catch(() => undefined); // the photograph stays alone, as while it is waited for
    return () => stop.abort();
  }, [wanted, file, number, model, result]);

  const maps = shown?.result === result ? shown?.maps : undefined;
  return useMemo(() => {
    if (!wanted || !picture) return picture;
    const { edits, ...rest } = picture; // which are of the maps
    return { ...rest, maps: maps ?? [] };
  }, [wanted, picture, maps]);
}

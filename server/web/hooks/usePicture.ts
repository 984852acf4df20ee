import { useEffect, useMemo, useState } from "react";

import { mapOf, mapsOf, photographOf, reducedOf } from "@/lib/decoded";
import { type Picture, rendererFor } from "@/lib/renderer";
import type { Photograph, Result } from "@/lib/strip";

/**
 * The decoded pixels of the photograph that is looked at; null where there are none to show. While they are decoded, an
 * empty picture of the size of the one before: so the focus and the place that is looked at stay.
 */
export function usePicture(photograph: Photograph | undefined): Picture | null {
  const { id, file } = photograph ?? {};
  const result = photograph?.progress.step === "done" ? photograph.progress.result : undefined;
  const [shown, setShown] = useState<{ id: number; picture: Picture | null } | null>(null);

  useEffect(() => {
    let wanted = true;
    if (id !== undefined && file) void decode(file, result).then((picture) => wanted && setShown({ id, picture }));
    else setShown(null); // nothing of a removed photograph is kept
    return () => {
      wanted = false;
    };
  }, [id, file, result]);

  const picture = shown?.picture ?? null;
  const empty = useMemo(() => picture && { ...picture, photograph: null, maps: [] }, [picture]);
  return shown && shown.id === id ? picture : empty;
}

async function decode(file: File, result: Result | undefined): Promise<Picture | null> {
  if (!result) {
    const photograph = await photographOf(file);
    const { width, height } = photograph ?? { width: 0, height: 0 };
    const picture = { width, height, photograph, maps: [], exclusive: false };
    return photograph && withHalves(picture, file);
  }
  const { width, height, exclusive } = result;
  const [photograph, map] = await Promise.all([
    result.photograph && photographOf(result.photograph),
    mapOf(result.map),
  ]);
  const picture = { width, height, photograph, maps: mapsOf(map, result.classes.length || 1), exclusive };
  return withHalves(picture, result.photograph);
}

/** A graphics card reduces by itself. */
async function withHalves(picture: Picture, file: Blob | null): Promise<Picture> {
  return file && rendererFor(picture) === "canvas" ? { ...picture, halves: await reducedOf(file) } : picture;
}

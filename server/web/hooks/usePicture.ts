import { useEffect, useMemo, useState } from "react";

import { mapOf, photographOf } from "@/lib/decoded";
import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

/**
 * The decoded pixels of the photograph that is looked at; null where there are none to show. While they are decoded, an
 * empty picture of the size of the one before: so the focus and the place that is looked at stay.
 */
export function usePicture(photograph: Photograph | undefined): Picture | null {
  const file = photograph?.file;
  const map = photograph?.progress.step === "done" ? photograph.progress.result.map : undefined;
  const [shown, setShown] = useState<{ file: File; picture: Picture | null } | null>(null);

  useEffect(() => {
    let wanted = true;
    if (file) void decode(file, map).then((picture) => wanted && setShown({ file, picture }));
    else setShown(null); // nothing of a removed photograph is kept
    return () => {
      wanted = false;
    };
  }, [file, map]);

  const picture = shown?.picture ?? null;
  const empty = useMemo(() => picture && { ...picture, photograph: null, map: null }, [picture]);
  return shown && shown.file === file ? picture : empty;
}

async function decode(file: File, answer: Blob | undefined): Promise<Picture | null> {
  const [photograph, map] = await Promise.all([photographOf(file), answer ? mapOf(answer) : null]);
  if (!map) return photograph && { width: photograph.width, height: photograph.height, photograph, map };
  // Where the browser reads the file otherwise than the server, the map would not lie where it belongs.
  const same = photograph?.width === map.width && photograph.height === map.height;
  return { width: map.width, height: map.height, photograph: same ? photograph : null, map };
}

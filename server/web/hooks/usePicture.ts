import { useEffect, useState } from "react";

import { mapOf, photographOf } from "@/lib/decoded";
import type { Picture } from "@/lib/renderer";
import type { Photograph } from "@/lib/strip";

/** The decoded pixels of the photograph that is looked at; null while there are none to show. */
export function usePicture(photograph: Photograph | undefined): Picture | null {
  const file = photograph?.file;
  const map = photograph?.progress.step === "done" ? photograph.progress.result.map : undefined;
  const [shown, setShown] = useState<{ file: File; picture: Picture | null } | null>(null);

  useEffect(() => {
    let wanted = true;
    if (file) void decode(file, map).then((picture) => wanted && setShown({ file, picture }));
    return () => {
      wanted = false;
    };
  }, [file, map]);

  return shown && shown.file === file ? shown.picture : null;
}

async function decode(file: File, answer: Blob | undefined): Promise<Picture | null> {
  const [photograph, map] = await Promise.all([photographOf(file), answer ? mapOf(answer) : null]);
  if (!map) return photograph && { width: photograph.width, height: photograph.height, photograph, map };
  // Where the browser reads the file otherwise than the server, the map would not lie where it belongs.
  const same = photograph?.width === map.width && photograph.height === map.height;
  return { width: map.width, height: map.height, photograph: same ? photograph : null, map };
}

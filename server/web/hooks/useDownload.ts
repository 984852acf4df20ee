import { useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import { type Format, type Look, queryOf, whichOf } from "@/lib/api";
import { predictCorrected, versionOf } from "@/lib/corrected";
import { adviceOf, trouble } from "@/lib/errors";
import { save } from "@/lib/files";
import type { Saying } from "@/lib/messages";
import type { Photograph } from "@/lib/strip";

export interface Download {
  /** Fetches a file from the server, of all classes that are shown or of one, and hands it to the browser's downloads. */
  readonly start: (format: Format, only?: string) => Promise<void>;
  /** How the last one went, in words; empty where nothing is to be told of this photograph and threshold. */
  readonly said: string;
}

/** Downloads of a photograph's results, as they are seen. */
export function useDownload(photograph: Photograph | undefined, look: Look): Download {
  const { id, file, corrected = null } = photograph ?? {};
  const words = useMessages();
  const { threshold, classes } = queryOf(look);
  const seen = `${threshold} of ${classes}${versionOf(corrected)} by ${photograph?.model}`;
  const [last, setLast] = useState<{ id: number; seen: string | null; said: Saying } | null>(null);

  const start = async (format: Format, only?: string) => {
    if (!photograph || id === undefined || !file) return;
    setLast({ id, seen, said: ({ download }) => download.preparing });
    try {
      const options = { ...whichOf(photograph), ...(only !== undefined && { only }) };
      const { file: made, name } = await predictCorrected(file, format, look, corrected, options);
      save(made, name);
      setLast({ id, seen, said: ({ download }) => download.saved(name) });
    } catch (error) {
      const told = trouble(error);
      setLast({ id, seen: null, said: (words) => adviceOf(told, words) }); // to be read even if the slider has moved on
    }
  };
  const current = last?.id === id && [seen, null].includes(last?.seen ?? null);
  return { start, said: (current && last?.said(words)) || "" };
}

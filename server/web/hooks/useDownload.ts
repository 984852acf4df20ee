import { useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import { type Format, type Look, predictFile, queryOf } from "@/lib/api";
import { adviceOf, trouble } from "@/lib/errors";
import { save } from "@/lib/files";
import type { Saying } from "@/lib/messages";

export interface Download {
  /** Fetches a file from the server, of all classes that are shown or of one, and hands it to the browser's downloads. */
  readonly start: (format: Format, only?: string) => Promise<void>;
  /** How the last one went, in words; empty where nothing is to be told of this photograph and threshold. */
  readonly said: string;
}

/** Downloads of a photograph's results, as they are seen. */
export function useDownload(file: File | undefined, look: Look): Download {
  const words = useMessages();
  const { threshold, classes } = queryOf(look);
  const seen = `${threshold} of ${classes}`;
  const [last, setLast] = useState<{ file: File; seen: string | null; said: Saying } | null>(null);

  const start = async (format: Format, only?: string) => {
    if (!file) return;
    setLast({ file, seen, said: ({ download }) => download.preparing });
    try {
      const { file: made, name } = await predictFile(file, format, look, only === undefined ? {} : { only });
      save(made, name);
      setLast({ file, seen, said: ({ download }) => download.saved(name) });
    } catch (error) {
      const told = trouble(error);
      setLast({ file, seen: null, said: (words) => adviceOf(told, words) }); // to be read even if the slider has moved on
    }
  };
  const current = last?.file === file && [seen, null].includes(last?.seen ?? null);
  return { start, said: (current && last?.said(words)) || "" };
}

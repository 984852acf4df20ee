import { useState } from "react";

import { type Format, type Look, predictFile, queryOf } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { save } from "@/lib/files";

export interface Download {
  /** Fetches a file from the server, of all classes that are shown or of one, and hands it to the browser's downloads. */
  readonly start: (format: Format, only?: string) => Promise<void>;
  /** How the last one went, in words; empty where nothing is to be told of this photograph and threshold. */
  readonly said: string;
}

/** Downloads of a photograph's results, as they are seen. */
export function useDownload(file: File | undefined, look: Look): Download {
  const { threshold, classes } = queryOf(look);
  const seen = `${threshold} of ${classes}`;
  const [last, setLast] = useState<{ file: File; seen: string | null; said: string } | null>(null);

  const start = async (format: Format, only?: string) => {
    if (!file) return;
    setLast({ file, seen, said: "Preparing …" });
    try {
      const { file: made, name } = await predictFile(file, format, look, only === undefined ? {} : { only });
      save(made, name);
      setLast({ file, seen, said: `${name} saved.` });
    } catch (error) {
      const { title, advice } = trouble(error);
      setLast({ file, seen: null, said: `${title}. ${advice}` }); // to be read even if the slider has moved on
    }
  };
  const current = last?.file === file && [seen, null].includes(last?.seen ?? null);
  return { start, said: (current && last?.said) || "" };
}

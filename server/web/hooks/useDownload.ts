import { useState } from "react";

import { type Format, type Look, predictFile } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { save } from "@/lib/files";

export interface Download {
  /** Fetches a file from the server and hands it to the browser's downloads. */
  readonly start: (format: Format) => Promise<void>;
  /** How the last one went, in words; empty where nothing is to be told of this photograph and threshold. */
  readonly said: string;
}

/** Downloads of a photograph's results, as they are seen. */
export function useDownload(file: File | undefined, look: Look): Download {
  const { threshold } = look;
  const [last, setLast] = useState<{ file: File; threshold: number | null; said: string } | null>(null);

  const start = async (format: Format) => {
    if (!file) return;
    setLast({ file, threshold, said: "Preparing …" });
    try {
      const { file: made, name } = await predictFile(file, format, look);
      save(made, name);
      setLast({ file, threshold, said: `${name} saved.` });
    } catch (error) {
      const { title, advice } = trouble(error);
      setLast({ file, threshold: null, said: `${title}. ${advice}` }); // to be read even if the slider has moved on
    }
  };
  const current = last?.file === file && [threshold, null].includes(last?.threshold ?? null);
  return { start, said: (current && last?.said) || "" };
}

import { useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import type { Format } from "@/lib/api";
import { adviceOf, trouble } from "@/lib/errors";
import { save } from "@/lib/files";
import type { Saying } from "@/lib/messages";
import { filesOfAll } from "@/lib/saveAll";
import type { Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";
import { tableOf } from "@/lib/table";

export type Saving = Exclude<Format, "svg"> | "csv";

export interface SaveAll {
  /** Hands files of all photographs that have a result to the browser's downloads. One at a time. */
  readonly start: (what: Saving) => void;
  readonly busy: boolean;
  /** How it goes, or went, in words. */
  readonly said: string;
}

const NAMES = { mask: "masks", overlay: "overlays", geojson: "outlines" } as const; // of files

export function useSaveAll(photographs: readonly Photograph[], settings: Settings): SaveAll {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState<Saying | null>(null);
  const words = useMessages();
  const say = (saying: Saying) => setSaid(() => saying);

  const saveFiles = async (format: Exclude<Saving, "csv">) => {
    const all = photographs.filter(({ progress }) => progress.step === "done").length;
    const tell = (count: number) => say(({ place, saveAll }) => `${saveAll.preparing[format]}: ${place(count, all)}`);
    setBusy(true);
    tell(0);
    try {
      const { zips, failed } = await filesOfAll(photographs, format, settings, tell);
      for (const [number, zip] of zips.entries())
        save(zip, `vessels-${NAMES[format]}${number ? `-${number + 1}` : ""}.zip`);
      const missing = failed.join(", ");
      say(({ saveAll }) => saveAll.saved[format](all - failed.length) + (missing && ` ${saveAll.missing(missing)}`));
    } catch (error) {
      const told = trouble(error);
      say((words) => adviceOf(told, words));
    } finally {
      setBusy(false);
    }
  };
  const start = (what: Saving) => {
    if (busy) return;
    if (what !== "csv") return void saveFiles(what);
    save(new Blob([tableOf(photographs)], { type: "text/csv" }), "vessels.csv");
    say(({ saveAll }) => saveAll.saved.csv);
  };
  return { start, busy, said: said?.(words) ?? "" };
}

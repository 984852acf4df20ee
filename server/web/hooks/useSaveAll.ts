import { useState } from "react";

import type { Format } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { save } from "@/lib/files";
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

const NAMES: Record<Saving, string> = { mask: "masks", overlay: "overlays", geojson: "outlines", csv: "table" };

export function useSaveAll(photographs: readonly Photograph[], settings: Settings): SaveAll {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState("");

  const saveFiles = async (format: Exclude<Saving, "csv">) => {
    const all = photographs.filter(({ progress }) => progress.step === "done").length;
    const tell = (count: number) => setSaid(`Preparing ${NAMES[format]}: ${count} of ${all}`);
    setBusy(true);
    tell(0);
    try {
      const { zips, failed } = await filesOfAll(photographs, format, settings, tell);
      for (const [number, zip] of zips.entries())
        save(zip, `vessels-${NAMES[format]}${number ? `-${number + 1}` : ""}.zip`);
      const missing = failed.length ? ` The server made none of ${failed.join(", ")}.` : "";
      setSaid(`${all - failed.length} ${NAMES[format]} saved.${missing}`);
    } catch (error) {
      const { title, advice } = trouble(error);
      setSaid(`${title}. ${advice}`);
    } finally {
      setBusy(false);
    }
  };
  const start = (what: Saving) => {
    if (busy) return;
    if (what !== "csv") return void saveFiles(what);
    save(new Blob([tableOf(photographs)], { type: "text/csv" }), "vessels.csv");
    setSaid("Table saved.");
  };
  return { start, busy, said };
}

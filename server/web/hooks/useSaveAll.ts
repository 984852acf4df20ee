import { useRef, useState } from "react";

import { useMessages } from "@/hooks/useMessages";
import type { Format } from "@/lib/api";
import { adviceOf, trouble } from "@/lib/errors";
import { save } from "@/lib/files";
import { measureAll } from "@/lib/measurements";
import type { Messages, Saying } from "@/lib/messages";
import { reportOf } from "@/lib/report";
import { filesOfAll } from "@/lib/saveAll";
import type { Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";
import { tableOf } from "@/lib/table";
import { trainingSetOf } from "@/lib/trainingSet";

export type Saving = Exclude<Format, "svg"> | "training" | "csv" | "measured" | "pdf";

export interface SaveAll {
  /** Hands files of all photographs that have a result to the browser's downloads. One at a time. */
  readonly start: (what: Saving) => void;
  /** Stops what is being prepared; null where nothing is. */
  readonly cancel: (() => void) | null;
  /** How it goes, or went, in words. */
  readonly said: string;
}

const NAMES = { mask: "masks", overlay: "overlays", geojson: "outlines", training: "training" } as const; // of files

export function useSaveAll(photographs: readonly Photograph[], settings: Settings): SaveAll {
  const running = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState<Saying | null>(null);
  const words = useMessages();
  const say = (saying: Saying) => setSaid(() => saying);
  const all = photographs.filter(({ progress }) => progress.step === "done").length;

  const saveFiles = async (format: keyof typeof NAMES, tell: (count: number) => void, signal: AbortSignal) => {
    const { zips, count, failed, several } =
      format === "training"
        ? await trainingSetOf(photographs, settings, tell, signal)
        : { ...(await filesOfAll(photographs, format, settings, tell, signal)), several: [] };
    const corrected = photographs.filter((one) => one.corrected?.some).length;
    for (const [number, zip] of zips.entries())
      save(zip, `vessels-${NAMES[format]}${number ? `-${number + 1}` : ""}.zip`);
    say(({ saveAll }) =>
      [
        saveAll.saved[format](count, corrected),
        failed.length ? saveAll.missing(failed.join(", ")) : "",
        several.length ? saveAll.several(several.join(", ")) : "",
      ]
        .filter(Boolean)
        .join(" "),
    );
  };
  const saveMeasured = async (tell: (count: number) => void, signal: AbortSignal) => {
    const measured = await measureAll(photographs, tell, signal);
    saveTable(tableOf(photographs, measured));
    const why = [...measured.values()].flatMap((one) => ("why" in one ? one.why : []));
    say(({ keeping, place }) => keeping.measuredSaved(place(all - why.length, all)) + (why.length ? ` ${why[0]}` : ""));
  };
  const saveReport = async (tell: (count: number) => void, signal: AbortSignal) => {
    save(await reportOf(photographs, settings, words, tell, signal), "vessels.pdf");
    say(({ keeping }) => keeping.pdfSaved(all));
  };
  const prepare = async (what: Exclude<Saving, "csv">) => {
    const controller = new AbortController();
    const { signal } = controller;
    running.current = controller;
    const tell = (count: number) => say((words) => `${preparing(what, words)}: ${words.place(count, all)}`);
    setBusy(true);
    tell(0);
    try {
      if (what === "measured") await saveMeasured(tell, signal);
      else if (what === "pdf") await saveReport(tell, signal);
      else await saveFiles(what, tell, signal);
    } catch (error) {
      const told = trouble(error);
      say((words) => (signal.aborted ? words.keeping.cancelled : adviceOf(told, words)));
    } finally {
      setBusy(false);
    }
  };
  const start = (what: Saving) => {
    if (busy) return;
    if (what !== "csv") return void prepare(what);
    saveTable(tableOf(photographs));
    say(({ saveAll }) => saveAll.saved.csv);
  };
  return { start, cancel: busy ? () => running.current?.abort() : null, said: said?.(words) ?? "" };
}

function preparing(what: Exclude<Saving, "csv">, { saveAll, keeping }: Messages): string {
  if (what === "measured") return keeping.measuring;
  return what === "pdf" ? keeping.drawing : saveAll.preparing[what];
}

function saveTable(table: string): void {
  save(new Blob([table], { type: "text/csv" }), "vessels.csv");
}

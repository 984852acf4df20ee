import { type Dispatch, useEffect, useReducer, useRef } from "react";

import { analyse, thumbnail } from "@/lib/analyse";
import { whichOf } from "@/lib/api";
import { revokeCover } from "@/lib/cover";
import { forget } from "@/lib/decoded";
import { trouble } from "@/lib/errors";
import {
  EMPTY,
  nextToSend,
  type Photograph,
  type Progress,
  reduceStrip,
  type Strip,
  type StripAction,
} from "@/lib/strip";

/** The photographs; whatever waits is sent to the server, one at a time. */
export function useFilmStrip(): [Strip, Dispatch<StripAction>] {
  const [strip, dispatch] = useReducer(reduceStrip, EMPTY);
  const { photographs, undo } = strip;
  const running = useRef<(Pick<Photograph, "id" | "model"> & { controller: AbortController }) | null>(null);
  const before = useRef<readonly Photograph[]>([]);

  useEffect(() => {
    const { current } = running;
    if (current && !strip.photographs.some(({ id, model }) => id === current.id && model === current.model)) {
      current.controller.abort();
      running.current = null;
    }
    const next = nextToSend(strip);
    if (!next || running.current) return;
    const controller = new AbortController();
    running.current = { id: next.id, model: next.model, controller };
    void send(next, controller.signal, dispatch).finally(() => {
      if (running.current?.controller === controller) running.current = null;
    });
  }, [strip]);

  // The first that has no reduced copy yet: one at a time is made, for a large photograph takes much memory.
  const bare = photographs.find((one) => one.thumbnail === null);
  const { id, file, progress } = bare ?? {};
  const shown = progress?.step === "done" ? progress.result.photograph : file; // what was kept may have the server's copy
  useEffect(() => {
    if (id === undefined || shown === undefined) return;
    let wanted = true;
    void (shown ? thumbnail(shown) : Promise.resolve("")).then((url) => {
      if (wanted) dispatch({ type: "thumbnail", id, url });
      else URL.revokeObjectURL(url);
    });
    return () => {
      wanted = false;
    };
  }, [id, shown]);

  // Nothing stays in memory of a photograph that was removed, once that can't be undone any more, or of what another cover replaced.
  useEffect(() => {
    const kept = [...photographs, ...undo.flatMap((one) => (one.type === "removed" ? one.photograph : []))];
    for (const one of before.current) {
      const now = kept.find(({ id }) => id === one.id);
      if (now?.cover !== one.cover) revokeCover(one.cover);
      if (!now) letGo(one);
    }
    before.current = kept;
  }, [photographs, undo]);

  return [strip, dispatch];
}

function letGo({ file, thumbnail, progress }: Photograph): void {
  if (thumbnail) URL.revokeObjectURL(thumbnail);
  forget(file);
  if (progress.step !== "done") return;
  forget(progress.result.map);
  if (progress.result.photograph) forget(progress.result.photograph);
}

async function send(photograph: Photograph, signal: AbortSignal, dispatch: Dispatch<StripAction>) {
  const { id, file, model } = photograph;
  const tell = (progress: Progress) => dispatch({ type: "progress", id, model, progress });
  const report = (sent: number) => tell({ step: "working", sent });
  report(0);
  try {
    const result = await analyse(file, { signal, onSent: report, ...whichOf(photograph) });
    tell({ step: "done", result });
    const copy = result.photograph !== file && result.photograph;
    if (copy) void thumbnail(copy).then((url) => dispatch({ type: "thumbnail", id, url }));
  } catch (error) {
    if (!signal.aborted) tell({ step: "failed", trouble: trouble(error) });
  }
}

import { type Dispatch, useEffect, useReducer, useRef } from "react";

import { analyse, thumbnail } from "@/lib/analyse";
import { trouble } from "@/lib/errors";
import { EMPTY, nextToSend, type Photograph, reduceStrip, type Strip, type StripAction } from "@/lib/strip";

/** The photographs; whatever waits is sent to the server, one at a time. */
export function useFilmStrip(): [Strip, Dispatch<StripAction>] {
  const [strip, dispatch] = useReducer(reduceStrip, EMPTY);
  const running = useRef<{ id: number; controller: AbortController } | null>(null);

  useEffect(() => {
    const { current } = running;
    if (current && !strip.photographs.some(({ id }) => id === current.id)) {
      current.controller.abort();
      running.current = null;
    }
    const next = nextToSend(strip);
    if (!next || running.current) return;
    const controller = new AbortController();
    running.current = { id: next.id, controller };
    void send(next, controller.signal, dispatch).finally(() => {
      if (running.current?.controller === controller) running.current = null;
    });
  }, [strip]);

  return [strip, dispatch];
}

async function send({ id, file, thumbnail: known }: Photograph, signal: AbortSignal, dispatch: Dispatch<StripAction>) {
  const report = (sent: number) => dispatch({ type: "progress", id, progress: { step: "working", sent } });
  report(0);
  if (!known) void thumbnail(file).then((url) => dispatch({ type: "thumbnail", id, url }));
  try {
    const result = await analyse(file, { signal, onSent: report });
    dispatch({ type: "progress", id, progress: { step: "done", result } });
  } catch (error) {
    if (!signal.aborted) dispatch({ type: "progress", id, progress: { step: "failed", trouble: trouble(error) } });
  }
}

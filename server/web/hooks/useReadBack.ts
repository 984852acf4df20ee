import { type Dispatch, useCallback, useEffect, useRef, useState } from "react";

import { correctionFor, insideFor } from "@/lib/corrected";
import { mapOf, mapsOf } from "@/lib/decoded";
import type { Saying } from "@/lib/messages";
import { correctTo, isCalledAfter, isMaskFile, MisfitError, masksIn } from "@/lib/readBack";
import { layersOf } from "@/lib/settings";
import type { Photograph, Result, StripAction } from "@/lib/strip";

const PLAIN = { colour: "", classes: {} };

export interface ReadBack {
  /** Takes the masks and outlines among files, which wait for their photographs, and returns the others. */
  readonly take: (files: readonly File[]) => File[];
  /** What has become of the last ones; null: nothing is to be told. */
  readonly said: Saying | null;
  readonly dismiss: () => void;
}

/** Masks and outlines that are added beside photographs, or after them, become their corrections. */
export function useReadBack(photographs: readonly Photograph[], dispatch: Dispatch<StripAction>): ReadBack {
  const [waiting, setWaiting] = useState<readonly File[]>([]);
  const [said, setSaid] = useState<readonly Saying[]>([]);
  const busy = useRef(false);

  useEffect(() => {
    const next = waiting.find((file) => targetsOf(file, photographs).every(isOver));
    if (!next || busy.current) return;
    busy.current = true;
    void readInto(next, targetsOf(next, photographs), dispatch).then((saying) => {
      busy.current = false;
      setWaiting((files) => files.filter((file) => file !== next));
      setSaid((all) => [...all, saying]);
    });
  }, [waiting, photographs, dispatch]);

  const take = useCallback((files: readonly File[]) => {
    const masks = files.filter(isMaskFile);
    if (masks.length) {
      setSaid([]);
      setWaiting((before) => [...before, ...masks]);
    }
    return files.filter((file) => !isMaskFile(file));
  }, []);
  const together: Saying = (words) => said.map((saying) => saying(words)).join(" ");
  return { take, said: said.length ? together : null, dismiss: () => setSaid([]) };
}

/** The photographs that a file is called after: those with the longest name, of which there may be several. */
function targetsOf(mask: File, photographs: readonly Photograph[]): Photograph[] {
  const called = photographs.filter(({ file }) => isCalledAfter(mask, file));
  const longest = Math.max(...called.map(({ file }) => file.name.length));
  return called.filter(({ file }) => file.name.length === longest);
}

function isOver({ progress }: Photograph): boolean {
  return progress.step === "done" || progress.step === "failed";
}

/** Of photographs of one name it is the first that it fits. What has become of it is told. */
async function readInto(file: File, targets: readonly Photograph[], dispatch: Dispatch<StripAction>): Promise<Saying> {
  let why: Saying = ({ correct }) => correct.misfit.alone(file.name);
  for (const target of targets) {
    if (target.progress.step !== "done") continue;
    try {
      await read(file, target, target.progress.result, dispatch);
      return ({ correct }) => correct.said.loaded(file.name);
    } catch (error) {
      const reason: Saying = error instanceof MisfitError ? error.saying : ({ correct }) => correct.misfit.unread;
      why = (words) => words.correct.misfit.refused(file.name, reason(words));
    }
  }
  return why;
}

async function read(
  file: File,
  { id, thresholds, corrected }: Photograph,
  result: Result,
  dispatch: Dispatch<StripAction>,
) {
  const masks = await masksIn(file, layersOf(result, thresholds, PLAIN), result);
  const told = { ...thresholds, ...masks.thresholds };
  const own = mapsOf(await mapOf(result.map), result.classes.length || 1);
  const correction = corrected?.correction ?? correctionFor(result);
  // What is looked at is attached already, and changes while it is.
  const attached = correction.isAttached ? [] : correction.attach(own, insideFor(result));
  await correctTo(correction, masks, own, layersOf(result, told, PLAIN));
  correction.detach(attached);
  dispatch({ type: "thresholds", id, thresholds: told });
  dispatch({ type: "corrected", id, correction });
}

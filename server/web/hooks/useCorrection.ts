import { type Dispatch, useEffect, useMemo, useState } from "react";

import { type Span, strokeSpans, type Touch } from "@/lib/brush";
import { cutsOf, type Layer } from "@/lib/classes";
import { correctionFor, insideFor } from "@/lib/corrected";
import type { Correction } from "@/lib/correction";
import { ERASED, PAINTED } from "@/lib/correctionMarks";
import type { Saying } from "@/lib/messages";
import { holeAt, holesOf, type Mask, maskOf, specksOf } from "@/lib/regions";
import type { Picture } from "@/lib/renderer";
import type { Photograph, StripAction } from "@/lib/strip";
import type { Point } from "@/lib/viewport";

export type Tool = "brush" | "eraser" | "fill";

/** How a person draws; the same for all photographs. */
export interface Tools {
  readonly tool: Tool;
  /** px of the photograph, from side to side. */
  readonly size: number;
  /** The number of the class that is drawn. */
  readonly layer: number;
  /** Whether a pen that is pressed less draws thinner. */
  readonly pressure: boolean;
  /** px: what has fewer is a speck, or a hole. */
  readonly least: number;
}

export const LARGEST_BRUSH = 100;
const FIRST: Tools = { tool: "brush", size: 9, layer: 0, pressure: false, least: 30 };

export interface CorrectControl {
  /** Whether the mask is being corrected. */
  readonly on: boolean;
  readonly turn: (on: boolean) => void;
  /** The picture with its corrected maps. */
  readonly picture: Picture | null;
  readonly tools: Tools;
  readonly choose: (part: Partial<Tools>) => void;
  /** Draws from the last place to this one; the first of a stroke begins it. `erase`: whatever the tool is. */
  readonly draw: (touch: Touch, erase?: boolean) => void;
  readonly lift: () => void;
  /** Takes back what was drawn since the stroke began. */
  readonly cancel: () => void;
  readonly fillAt: (at: Point) => void;
  readonly clean: (what: "specks" | "holes") => void;
  readonly undo: () => void;
  readonly redo: () => void;
  readonly discard: () => void;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly some: boolean;
  /** What happened last. */
  readonly said: Saying | null;
  readonly say: (saying: Saying | null) => void;
}

/** The correction of the photograph that is looked at, and what changes it. `picture`: as the model has made it. */
export function useCorrection(
  selected: Photograph | undefined,
  picture: Picture | null,
  layers: readonly Layer[],
  dispatch: Dispatch<StripAction>,
): CorrectControl {
  const [on, turn] = useState(false);
  const [tools, setTools] = useState(FIRST);
  const [said, setSaid] = useState<Saying | null>(null);
  const say = (saying: Saying | null) => setSaid(() => saying);
  const result = selected?.progress.step === "done" ? selected.progress.result : null;
  const corrected = selected?.corrected ?? null;
  const correction = corrected?.correction;
  const id = selected?.id;

  useEffect(() => {
    if (!on || id === undefined || !result || correction) return;
    dispatch({ type: "corrected", id, correction: correctionFor(result) });
  }, [on, id, result, correction, dispatch]);

  const shown = useCorrectedPicture(picture, on || corrected?.some ? correction : undefined, selected);
  const [stroke] = useState(() => new Stroke());
  const layer = Math.min(tools.layer, layers.length - 1);
  const ready = on && shown?.edits === correction ? correction : undefined;
  const changed = () => {
    if (id !== undefined && correction) dispatch({ type: "corrected", id, correction });
  };

  const draw = (touch: Touch, erase = tools.tool === "eraser") => {
    if (ready && !stroke.busy) stroke.draw(ready, touch, layer, erase);
  };
  const lift = () => {
    if (stroke.lift()) changed();
  };
  /** Finds pixels in the mask of the class that is drawn, and paints or erases them. */
  const change = async (find: (mask: Mask) => Promise<Span[]>, erase: boolean, tell: (count: number) => Saying) => {
    if (!ready || !shown || stroke.busy || stroke.isDown) return;
    stroke.busy = true;
    try {
      const shownLayers = layers.map((one) => ({ ...one, shown: true }));
      const mask = await maskOf(shown, cutsOf(shownLayers, shown.exclusive), layer);
      const spans = await find(mask);
      if (!ready.isAttached) return; // another photograph is looked at by now
      ready.begin();
      ready.mark(spans, layer, erase ? ERASED : PAINTED);
      if (ready.end()) changed();
      say(tell(spans.reduce((sum, { from, to }) => sum + to - from, 0)));
    } finally {
      stroke.busy = false;
    }
  };
  const step = (what: "undo" | "redo" | "discard", saying: Saying) => {
    if (!ready || stroke.busy || stroke.isDown) return;
    ready[what]();
    changed();
    say(saying);
  };

  return {
    on,
    turn,
    picture: shown,
    tools: { ...tools, layer },
    choose: (part) => setTools((before) => ({ ...before, ...part })),
    draw,
    lift,
    cancel: () => stroke.cancel(),
    fillAt: ({ x, y }) =>
      void change(
        (mask) => holeAt(mask, Math.floor(x), Math.floor(y)),
        false,
        (count) =>
          ({ correct }) =>
            count ? correct.said.holes(count) : correct.said.open,
      ),
    clean: (what) =>
      void change(
        (mask) => (what === "specks" ? specksOf : holesOf)(mask, tools.least),
        what === "specks",
        (count) =>
          ({ correct }) =>
            correct.said[what](count),
      ),
    undo: () => step("undo", ({ correct }) => correct.said.undone),
    redo: () => step("redo", ({ correct }) => correct.said.redone),
    discard: () => step("discard", ({ correct }) => correct.said.discarded),
    canUndo: correction?.canUndo ?? false,
    canRedo: correction?.canRedo ?? false,
    some: corrected?.some ?? false,
    said,
    say,
  };
}

/** The picture with corrected maps, which follow the correction as long as it is shown. */
function useCorrectedPicture(
  picture: Picture | null,
  correction: Correction | undefined,
  selected: Photograph | undefined,
): Picture | null {
  const result = selected?.progress.step === "done" ? selected.progress.result : null;
  const shown = useMemo(() => {
    if (!picture?.maps.length || !correction || !result) return picture;
    return { ...picture, maps: correction.attach(picture.maps, insideFor(result)), edits: correction };
  }, [picture, correction, result]);

  useEffect(() => () => correction?.detach(shown?.maps ?? []), [correction, shown]);
  return shown;
}

/** What is drawn between putting a brush down and lifting it. */
class Stroke {
  /** Whether something else changes the mask meanwhile. */
  busy = false;
  private correction: Correction | null = null;
  private last: Touch | null = null;

  get isDown(): boolean {
    return this.correction !== null;
  }

  draw(correction: Correction, touch: Touch, layer: number, erase: boolean): void {
    if (!this.correction) correction.begin();
    this.correction ??= correction;
    if (this.correction !== correction) return; // another photograph came in between
    const [x, y] = [this.last ?? touch, touch];
    correction.mark(strokeSpans(x, y, correction.size), layer, erase ? ERASED : PAINTED);
    this.last = touch;
  }

  /** Whether it has changed anything. */
  lift(): boolean {
    const { correction } = this;
    this.correction = this.last = null;
    return correction?.end() ?? false;
  }

  cancel(): void {
    this.correction?.cancel();
    this.correction = this.last = null;
  }
}

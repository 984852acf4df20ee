import { useEffect, useRef } from "react";

import { type CorrectControl, LARGEST_BRUSH } from "@/hooks/useCorrection";
import { useShortcuts } from "@/hooks/useShortcuts";
import { keyOf } from "@/lib/shortcuts";

/** The keys of a correction: single ones where they are allowed, and those of undo and redo in any case. */
export function useCorrectionKeys(correct: CorrectControl, shortcuts: boolean): void {
  const { on, tools, choose } = correct;
  const { size } = tools;
  const wider = (by: 1 | -1) => {
    const step = by * Math.max(1, Math.round(size / 10));
    choose({ size: Math.min(LARGEST_BRUSH, Math.max(1, size + step)) });
  };
  useShortcuts(
    {
      b: () => choose({ tool: "brush" }),
      x: () => choose({ tool: "eraser" }),
      f: () => choose({ tool: "fill" }),
      "[": () => wider(-1),
      "]": () => wider(1),
      d: () => correct.clean("specks"),
      g: () => correct.clean("holes"),
    },
    on && shortcuts,
  );

  const latest = useRef(correct);
  useEffect(() => {
    latest.current = correct;
  });
  useEffect(() => {
    if (!on) return;
    const press = (event: KeyboardEvent) => {
      const letter = keyOf(event);
      const text = (event.target as Element).closest("dialog[open], textarea, input[type=text], input[type=password]");
      if (!(event.ctrlKey || event.metaKey) || event.altKey || text || !["z", "y"].includes(letter)) return;
      // Before the undo of what was removed hears of it.
      event.preventDefault();
      event.stopPropagation();
      if (letter === "y" || event.shiftKey) latest.current.redo();
      else latest.current.undo();
    };
    window.addEventListener("keydown", press, { capture: true });
    return () => window.removeEventListener("keydown", press, { capture: true });
  }, [on]);
}

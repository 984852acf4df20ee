import { startTransition, useEffect, useState } from "react";

import type { Photograph } from "@/lib/strip";

/** Photographs before and after the selected one that are drawn first. */
const NEAR = 15;

/**
 * Those around the selected photograph, and a moment later all of them, `whole`: a view of 200 is there at once, and the others
 * are drawn in steps between which the page answers.
 */
export function useNearFirst(photographs: readonly Photograph[], selected: number | null) {
  const [whole, setWhole] = useState(false);
  useEffect(() => startTransition(() => setWhole(true)), []);
  const at = photographs.findIndex(({ id }) => id === selected);
  return { shown: whole ? photographs : photographs.slice(Math.max(0, at - NEAR), at + NEAR + 1), whole };
}

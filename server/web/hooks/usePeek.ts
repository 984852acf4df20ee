import { useCallback, useEffect, useRef, useState } from "react";

import { boundTo, keyOf, takesKeys } from "@/lib/shortcuts";

const KEY = "o";
const TAP = 300; // ms: what is let go sooner was pressed, and not held

export interface Peek {
  /** Whether the original is seen for as long as something is held. */
  readonly peeking: boolean;
  readonly hold: (held: boolean) => void;
}

/** The original while the key O is held, or what calls `hold`; a short press of the key calls `choose` instead. */
export function usePeek(choose: () => void, enabled: boolean): Peek {
  const [peeking, hold] = useState(false);
  const latest = useRef(choose);
  useEffect(() => {
    latest.current = choose;
  });
  const letGo = useCallback(() => hold(false), []);

  useEffect(() => {
    if (!enabled) return;
    let since: number | null = null;
    const down = (event: KeyboardEvent) => {
      if (!takesKeys(event) || !boundTo(event, { [KEY]: true })) return;
      event.preventDefault();
      since ??= event.timeStamp;
      hold(true);
    };
    const up = (event: KeyboardEvent) => {
      if (since === null || keyOf(event) !== KEY) return;
      if (event.timeStamp - since < TAP) latest.current();
      since = null;
      letGo();
    };
    const leave = () => {
      since = null;
      letGo();
    };
    window.addEventListener("keydown", down);
    window.addEventListener("keyup", up);
    window.addEventListener("blur", leave); // another window gets the release
    return () => {
      leave();
      window.removeEventListener("keydown", down);
      window.removeEventListener("keyup", up);
      window.removeEventListener("blur", leave);
    };
  }, [enabled, letGo]);

  return { peeking, hold };
}

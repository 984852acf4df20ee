import { useEffect, useRef } from "react";

import { boundTo, takesKeys } from "@/lib/shortcuts";

/** Calls what a key is bound to, wherever the focus is, except in a text field, in a dialogue, or with Ctrl or the like. */
export function useShortcuts(keys: Readonly<Record<string, () => void>>, enabled: boolean): void {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });

  useEffect(() => {
    if (!enabled) return;
    const press = (event: KeyboardEvent) => {
      if (!takesKeys(event)) return;
      const bound = boundTo(event, latest.current);
      if (!bound) return;
      event.preventDefault();
      bound();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [enabled]);
}

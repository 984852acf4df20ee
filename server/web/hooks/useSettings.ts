import { useCallback, useEffect, useState } from "react";

import { recall, remember } from "@/lib/remembered";
import { DEFAULTS, type Settings } from "@/lib/settings";

/** How results are shown, and what changes it. Colour and opacity are those of the last visit. */
export function useSettings(): [Settings, (part: Partial<Settings>) => void] {
  const [settings, setSettings] = useState<Settings>(() => ({ ...DEFAULTS, ...recall() }));
  const { colour, opacity } = settings;
  useEffect(() => remember({ colour, opacity }), [colour, opacity]);
  const change = useCallback((part: Partial<Settings>) => setSettings((before) => ({ ...before, ...part })), []);
  return [settings, change];
}

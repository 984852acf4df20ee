import { useEffect, useState } from "react";

const MOMENT = 120; // ms

/** Whether a value has been the same for a moment. */
export function useStill(value: unknown): boolean {
  const [last, setLast] = useState(value);

  useEffect(() => {
    const timer = window.setTimeout(() => setLast(value), MOMENT);
    return () => window.clearTimeout(timer);
  }, [value]);

  return last === value;
}

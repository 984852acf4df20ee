import { useEffect, useState } from "react";

import { analyst } from "@/lib/analyst";
import type { Health } from "@/lib/api";

const AGAIN = 1000; // ms until a server that is not ready is asked again

/** What the server says of itself; null until it has answered. Asked until it is ready. */
export function useHealth(): Health | null {
  const [health, setHealth] = useState<Health | null>(null);

  useEffect(() => {
    let timer = 0;
    let wanted = true;
    const ask = async () => {
      const answer = await analyst.fetchHealth().catch(() => null);
      if (!wanted) return;
      setHealth(answer);
      if (!answer?.ready) timer = window.setTimeout(ask, AGAIN);
    };
    void ask();
    return () => {
      wanted = false;
      window.clearTimeout(timer);
    };
  }, []);

  return health;
}

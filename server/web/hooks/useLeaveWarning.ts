import { useEffect } from "react";

/** Has the browser ask before the page is left or loaded again, where work would be lost. */
export function useLeaveWarning(work: boolean): void {
  useEffect(() => {
    if (!work) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [work]);
}

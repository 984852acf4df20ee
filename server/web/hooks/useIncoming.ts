import { useEffect, useState } from "react";

import { droppedFiles, photographsIn } from "@/lib/files";

/** Takes photographs that are dropped on the page or pasted; tells whether some are being dragged over it. */
export function useIncoming(add: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false);

  useEffect(() => {
    // A dragged thing enters a child before it leaves the parent: the page is left when both have happened equally often.
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth = Math.max(0, depth - 1); // it may have entered before the page listened
      if (depth === 0) setOver(false);
    };
    const allow = (event: DragEvent) => event.preventDefault();
    const drop = (event: DragEvent) => {
      event.preventDefault();
      depth = 0;
      setOver(false);
      if (event.dataTransfer) void droppedFiles(event.dataTransfer).then(add);
    };
    const paste = (event: ClipboardEvent) => add(photographsIn(event.clipboardData?.files ?? []));
    const stop = new AbortController();
    const { signal } = stop;
    window.addEventListener("dragenter", enter, { signal });
    window.addEventListener("dragleave", leave, { signal });
    window.addEventListener("dragover", allow, { signal });
    window.addEventListener("drop", drop, { signal });
    window.addEventListener("paste", paste, { signal });
    return () => stop.abort();
  }, [add]);

  return over;
}

import { type RefObject, useEffect, useState } from "react";

import type { Size } from "@/lib/viewport";

/** The size of a canvas in device pixels, exact where the browser tells it; null before it is known. */
export function useCanvasSize(canvas: RefObject<HTMLCanvasElement | null>): Size | null {
  const [size, setSize] = useState<Size | null>(null);

  useEffect(() => {
    const element = canvas.current!;
    const observer = new ResizeObserver(([entry]) => {
      const exact = entry?.devicePixelContentBoxSize?.[0];
      const width = exact?.inlineSize ?? Math.round(element.clientWidth * window.devicePixelRatio);
      const height = exact?.blockSize ?? Math.round(element.clientHeight * window.devicePixelRatio);
      setSize({ width: Math.max(1, width), height: Math.max(1, height) });
    });
    try {
      observer.observe(element, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(element); // Safari knows only the usual box
    }
    return () => observer.disconnect();
  }, [canvas]);

  return size;
}

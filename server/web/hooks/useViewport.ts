import { useCallback, useState } from "react";

import { fit, type Point, pan, type Size, type Viewport, zoom } from "@/lib/viewport";

export interface ViewportControl {
  readonly viewport: Viewport;
  /** Whether the whole image is shown and follows the window. */
  readonly fitted: boolean;
  /** Points and distances are in device pixels of the canvas; without `at` its middle. */
  readonly zoomBy: (factor: number, at?: Point) => void;
  readonly panBy: (dx: number, dy: number) => void;
  readonly toFit: () => void;
  readonly toFull: (at?: Point) => void;
}

/** Zoom and position of an image on a canvas. */
export function useViewport(canvas: Size, image: Size): ViewportControl {
  const [moved, setMoved] = useState<Viewport | null>(null);
  const whole = fit(canvas, image);
  const { width, height } = canvas;
  const { width: imageWidth, height: imageHeight } = image;

  const change = useCallback(
    (next: (view: Viewport, canvas: Size, image: Size) => Viewport) =>
      setMoved((view) => {
        const sizes = [
          { width, height },
          { width: imageWidth, height: imageHeight },
        ] as const;
        return next(view ?? fit(...sizes), ...sizes);
      }),
    [width, height, imageWidth, imageHeight],
  );
  const zoomBy = useCallback(
    (factor: number, at = { x: width / 2, y: height / 2 }) =>
      change((view, canvas, image) => zoom(view, factor, at, canvas, image)),
    [change, width, height],
  );
  const panBy = useCallback(
    (dx: number, dy: number) => change((view, canvas, image) => pan(view, dx, dy, canvas, image)),
    [change],
  );
  const toFull = useCallback(
    (at = { x: width / 2, y: height / 2 }) =>
      change((view, canvas, image) => zoom(view, 1 / view.scale, at, canvas, image)),
    [change, width, height],
  );
  const toFit = useCallback(() => setMoved(null), []);

  return { viewport: moved ?? whole, fitted: moved === null, zoomBy, panBy, toFit, toFull };
}

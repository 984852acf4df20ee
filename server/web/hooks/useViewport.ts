import { useCallback, useMemo, useState } from "react";

import { fit, isFit, type Point, pan, type Size, type Viewport, zoom } from "@/lib/viewport";

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

interface Moved {
  readonly view: Viewport;
  readonly image: Size;
}

/** Zoom and position of an image on a canvas; the next image of the same size is seen in the same place. */
export function useViewport(canvas: Size, image: Size): ViewportControl {
  const { width, height } = canvas;
  const { width: imageWidth, height: imageHeight } = image;
  const sizes = useMemo(
    () =>
      [
        { width, height },
        { width: imageWidth, height: imageHeight },
      ] as const,
    [width, height, imageWidth, imageHeight],
  );
  const whole = useMemo(() => fit(...sizes), [sizes]);
  const [moved, setMoved] = useState<Moved | null>(null);
  const kept = viewOf(moved, sizes[1]);

  const change = useCallback(
    (next: (view: Viewport, canvas: Size, image: Size) => Viewport) =>
      setMoved((moved) => {
        const [canvas, image] = sizes;
        const view = next(viewOf(moved, image) ?? fit(canvas, image), canvas, image);
        return isFit(view, canvas, image) ? null : { view, image };
      }),
    [sizes],
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

  return { viewport: kept ?? whole, fitted: kept === null, zoomBy, panBy, toFit, toFull };
}

/** Null where another size of image was moved, or none. */
function viewOf(moved: Moved | null, { width, height }: Size): Viewport | null {
  return moved?.image.width === width && moved.image.height === height ? moved.view : null;
}

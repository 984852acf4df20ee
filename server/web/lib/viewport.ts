/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** What of the image is seen: `scale` in device pixels for a pixel of the image, and the image's point in the middle. */
export interface Viewport {
  readonly scale: number;
  readonly centre: Point;
}

const LARGEST = 48; // device pixels for a pixel of the image

/** The whole image, as large as it fits with a little air around it. */
export function fit(canvas: Size, image: Size): Viewport {
  const scale = 0.97 * Math.min(canvas.width / image.width, canvas.height / image.height);
  return { scale, centre: { x: image.width / 2, y: image.height / 2 } };
}

/** Whether it is the whole image, as `fit` shows it: so small an image is kept in the middle. */
export function isFit(view: Viewport, canvas: Size, image: Size): boolean {
  return Math.abs(view.scale / fit(canvas, image).scale - 1) < 1e-6;
}

/** Zooms so that the image's point under `at`, in device pixels of the canvas, stays there. */
export function zoom(view: Viewport, factor: number, at: Point, canvas: Size, image: Size): Viewport {
  const least = Math.min(1, fit(canvas, image).scale);
  const scale = Math.min(LARGEST, Math.max(least, view.scale * factor));
  const still = toImage(view, at, canvas);
  const centre = {
    x: still.x - (at.x - canvas.width / 2) / scale,
    y: still.y - (at.y - canvas.height / 2) / scale,
  };
  return kept({ scale, centre }, canvas, image);
}

/** Moves the image by `dx`, `dy` device pixels. */
export function pan(view: Viewport, dx: number, dy: number, canvas: Size, image: Size): Viewport {
  const centre = { x: view.centre.x - dx / view.scale, y: view.centre.y - dy / view.scale };
  return kept({ ...view, centre }, canvas, image);
}

/** The image's point at a device pixel of the canvas. */
export function toImage({ scale, centre }: Viewport, at: Point, canvas: Size): Point {
  return { x: centre.x + (at.x - canvas.width / 2) / scale, y: centre.y + (at.y - canvas.height / 2) / scale };
}

/** The image's point at the canvas's upper left corner, on the grid of device pixels: at 100 % a pixel is then a pixel. */
export function origin(view: Viewport, canvas: Size): Point {
  const { x, y } = deviceOrigin(view, canvas);
  return { x: x / view.scale, y: y / view.scale };
}

/** The same in device pixels, from the image's own corner. */
export function deviceOrigin({ scale, centre }: Viewport, canvas: Size): Point {
  return { x: Math.round(centre.x * scale - canvas.width / 2), y: Math.round(centre.y * scale - canvas.height / 2) };
}

/** An image that is smaller than the canvas stays in the middle; of a larger one no edge comes off the canvas's. */
function kept({ scale, centre }: Viewport, canvas: Size, image: Size): Viewport {
  const within = (value: number, seen: number, all: number) =>
    seen >= all ? all / 2 : Math.min(all - seen / 2, Math.max(seen / 2, value));
  return {
    scale,
    centre: {
      x: within(centre.x, canvas.width / scale, image.width),
      y: within(centre.y, canvas.height / scale, image.height),
    },
  };
}

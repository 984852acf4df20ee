import { type KeyboardEvent, type RefObject, useCallback, useEffect, useRef } from "react";

import type { CorrectControl } from "@/hooks/useCorrection";
import type { ViewportControl } from "@/hooks/useViewport";
import { origin, type Point, type Size } from "@/lib/viewport";

const THINNEST = 0.2; // of the size, under a pen that hardly touches
const PEN_ERASER = 32; // among the buttons of a pointer event: the other end of a pen

/** What draws where fingers, pens and mice would move the picture. Points are device pixels of the canvas. */
export interface Brush {
  /** Whether the pointer that came down draws from now on. */
  readonly begin: (event: PointerEvent, at: Point) => boolean;
  readonly follow: (event: PointerEvent, at: Point) => void;
  readonly end: () => void;
  /** What it has drawn is no stroke: a second finger has come down. */
  readonly cancel: () => void;
  /** A pointer is above the canvas; null: it has left. */
  readonly hover: (at: Point | null) => void;
}

interface Drawing {
  readonly brush: Brush | null;
  /** Keys on the canvas; whether the key was one of the brush's. */
  readonly press: (event: KeyboardEvent) => boolean;
  readonly blur: () => void;
}

/** Draws on a canvas by pointer and by keys. `cursor`: what shows where the brush is, and how large. */
export function useBrush(
  canvas: RefObject<HTMLCanvasElement | null>,
  cursor: RefObject<HTMLElement | null>,
  view: ViewportControl,
  size: Size,
  image: Size,
  correct: CorrectControl,
): Drawing {
  const { viewport, panBy } = view;
  const { on, tools } = correct;
  const place = useRef<Point | null>(null); // px of the image
  const down = useRef(false); // by key
  const sawPen = useRef(false);

  const toImage = (at: Point): Point => {
    const corner = origin(viewport, size);
    return { x: corner.x + at.x / viewport.scale, y: corner.y + at.y / viewport.scale };
  };
  const showAt = useCallback(
    (at: Point | null) => {
      place.current = at ?? place.current;
      const element = cursor.current;
      if (!element) return;
      const ratio = (canvas.current?.clientWidth ?? 1) / size.width;
      const corner = origin(viewport, size);
      const diameter = Math.max(3, tools.size * viewport.scale * ratio);
      const { x, y } = place.current ?? { x: 0, y: 0 };
      element.hidden = at === null;
      element.style.width = element.style.height = `${diameter}px`;
      element.style.left = `${(x - corner.x) * viewport.scale * ratio}px`;
      element.style.top = `${(y - corner.y) * viewport.scale * ratio}px`;
    },
    [canvas, cursor, size, viewport, tools.size],
  );
  useEffect(() => {
    if (on && place.current && !cursor.current?.hidden) showAt(place.current);
  }, [on, cursor, showAt]);

  const sizeOf = ({ pointerType, pressure }: PointerEvent) =>
    tools.pressure && pointerType === "pen" ? tools.size * (THINNEST + (1 - THINNEST) * pressure) : tools.size;
  const drawTo = (event: PointerEvent, at: Point) => {
    const erases = (event.buttons & PEN_ERASER) !== 0;
    correct.draw({ ...toImage(at), size: sizeOf(event) }, erases || undefined);
  };
  const brush: Brush = {
    begin: (event, at) => {
      sawPen.current ||= event.pointerType === "pen";
      // Of who draws with a pen, a hand that rests on the screen leaves no marks.
      if (event.pointerType === "touch" && sawPen.current) return false;
      showAt(toImage(at));
      if (tools.tool === "fill") correct.fillAt(toImage(at));
      else drawTo(event, at);
      return true;
    },
    follow: (event, at) => {
      if (tools.tool !== "fill") drawTo(event, at);
    },
    end: correct.lift,
    cancel: correct.cancel,
    hover: (at) => showAt(at && toImage(at)),
  };

  const press = (event: KeyboardEvent): boolean => {
    const at = place.current ?? viewport.centre;
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(tools.size / 2));
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === " ") {
      if (!event.repeat) toggle(at);
    } else if (way) {
      const next = {
        x: Math.min(image.width - 0.5, Math.max(0.5, at.x + step * way[0]!)),
        y: Math.min(image.height - 0.5, Math.max(0.5, at.y + step * way[1]!)),
      };
      if (down.current) correct.draw({ ...next, size: tools.size });
      reveal(next);
      showAt(next);
    } else return false;
    return true;
  };
  const toggle = (at: Point) => {
    showAt(at);
    if (tools.tool === "fill") return correct.fillAt(at);
    down.current = !down.current;
    const drawing = down.current;
    if (drawing) correct.draw({ ...at, size: tools.size });
    else correct.lift();
    correct.say(({ correct: { said } }) => (drawing ? said.down : said.lifted));
  };
  /** Moves the picture where the brush would leave what is seen of it. */
  const reveal = ({ x, y }: Point) => {
    const corner = origin(viewport, size);
    const beyond = (at: number, all: number) => (at < 0 ? -at : at > all ? all - at : 0);
    const [dx, dy] = [
      beyond((x - corner.x) * viewport.scale, size.width),
      beyond((y - corner.y) * viewport.scale, size.height),
    ];
    if (dx || dy) panBy(dx, dy);
  };
  /** A brush that is down leaves with the focus. */
  const blur = () => {
    if (!down.current) return;
    down.current = false;
    correct.lift();
  };
  return { blur, brush: on ? brush : null, press: (event) => on && press(event) };
}

import { type RefObject, useEffect, useRef } from "react";

import type { Brush } from "@/hooks/useBrush";
import type { ViewportControl } from "@/hooks/useViewport";
import type { Point } from "@/lib/viewport";

type Moves = Pick<ViewportControl, "zoomBy" | "panBy" | "toFit" | "toFull" | "fitted">;

const MIDDLE = 1; // buttons of a mouse, and of a pen
const ERASER = 5;

/** Wheel, drag, pinch and double click on a canvas. `brush`: what the first finger does instead; null: nothing. */
export function useGestures(
  canvas: RefObject<HTMLCanvasElement | null>,
  moves: Moves,
  brush: Brush | null = null,
): void {
  // A gesture goes on while what it moves changes, so the listeners stay.
  const latest = useRef({ ...moves, brush });
  useEffect(() => {
    latest.current = { ...moves, brush };
  });

  useEffect(() => {
    const element = canvas.current!;
    const stop = new AbortController();
    const { signal } = stop;
    const fingers = new Map<number, Point>();
    const point = ({ clientX, clientY }: MouseEvent): Point => {
      const { left, top } = element.getBoundingClientRect();
      const ratio = element.width / element.clientWidth;
      return { x: (clientX - left) * ratio, y: (clientY - top) * ratio };
    };
    let drawing: { readonly id: number; readonly brush: Brush } | null = null;
    const down = (event: PointerEvent) => {
      const { brush } = latest.current;
      if (event.button !== 0 && !(brush && [MIDDLE, ERASER].includes(event.button))) return;
      drawing?.brush.cancel();
      const draws = fingers.size === 0 && event.button !== MIDDLE && brush?.begin(event, point(event));
      drawing = brush && draws ? { id: event.pointerId, brush } : null;
      if (event.button === MIDDLE) event.preventDefault(); // which would scroll
      fingers.set(event.pointerId, point(event));
      element.setPointerCapture(event.pointerId);
    };
    const move = (event: PointerEvent) => {
      if (event.pointerType !== "touch") latest.current.brush?.hover(point(event));
      if (!fingers.has(event.pointerId)) return;
      if (drawing?.id === event.pointerId) {
        fingers.set(event.pointerId, point(event));
        const all = event.getCoalescedEvents();
        for (const one of all.length ? all : [event]) latest.current.brush?.follow(one, point(one));
        return;
      }
      const before = grip(fingers);
      fingers.set(event.pointerId, point(event));
      const after = grip(fingers);
      const { panBy, zoomBy } = latest.current;
      panBy(after.middle.x - before.middle.x, after.middle.y - before.middle.y);
      if (before.spread && after.spread) zoomBy(after.spread / before.spread, after.middle);
    };
    const up = (event: PointerEvent) => {
      fingers.delete(event.pointerId);
      if (drawing?.id !== event.pointerId) return;
      latest.current.brush?.end();
      drawing = null;
    };
    const leave = () => latest.current.brush?.hover(null);
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      // Lines and pages, as some mice send, in pixels. A pinch on a touch pad comes as a wheel with Ctrl.
      const pixels = event.deltaY * (event.deltaMode === 0 ? 1 : event.deltaMode === 1 ? 16 : 400);
      latest.current.zoomBy(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), point(event));
    };
    const double = (event: MouseEvent) => {
      if (latest.current.brush) return; // two dabs
      if (latest.current.fitted) latest.current.toFull(point(event));
      else latest.current.toFit();
    };
    element.addEventListener("pointerdown", down, { signal });
    element.addEventListener("pointermove", move, { signal });
    element.addEventListener("pointerup", up, { signal });
    element.addEventListener("pointercancel", up, { signal });
    element.addEventListener("pointerleave", leave, { signal });
    element.addEventListener("wheel", wheel, { signal, passive: false });
    element.addEventListener("dblclick", double, { signal });
    return () => stop.abort();
  }, [canvas]);
}

/** The middle of the fingers that touch, and how far apart they are: 0 for one. */
function grip(fingers: ReadonlyMap<number, Point>): { middle: Point; spread: number } {
  const [first, second] = [...fingers.values()];
  if (!first || !second) return { middle: first ?? { x: 0, y: 0 }, spread: 0 };
  return {
    middle: { x: (first.x + second.x) / 2, y: (first.y + second.y) / 2 },
    spread: Math.hypot(first.x - second.x, first.y - second.y),
  };
}

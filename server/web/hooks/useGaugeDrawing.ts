import { type KeyboardEvent, type RefObject, useEffect, useRef } from "react";

import type { Brush } from "@/hooks/useBrush";
import type { GaugeControl } from "@/hooks/useGauges";
import type { ViewportControl } from "@/hooks/useViewport";
import { distance, type Gauge, type GaugeKind, type GaugePart, isRegion, movedTo, partsOf } from "@/lib/gauge";
import { origin, type Point, type Size, type Viewport } from "@/lib/viewport";

const REACH = { mouse: 10, pen: 14, touch: 22 } as const; // CSS px from a part that is held there
const MOVED = 4; // CSS px: less is a press, and its other end comes with the next one
const SHARE = 0.25; // of what is seen: a gauge that a key puts there

interface Held {
  readonly gauge: Gauge;
  readonly part: GaugePart;
  /** Where it was pressed, device pixels of the canvas. */
  readonly start: Point;
  /** Whether the first end of it was set by a press before. */
  readonly second: boolean;
  readonly moved: boolean;
}

interface Drawing {
  readonly brush: Brush | null;
  /** Keys on the canvas; whether the key was one that puts a gauge there. */
  readonly press: (event: KeyboardEvent) => boolean;
}

/** Puts gauges on a canvas by pointer and by keys: by a stroke, or by a press for each end. */
export function useGaugeDrawing(
  canvas: RefObject<HTMLCanvasElement | null>,
  { viewport }: Pick<ViewportControl, "viewport">,
  size: Size,
  image: Size,
  control: GaugeControl,
): Drawing {
  const { tool, gauges, readings, drawing } = control;
  const held = useRef<Held | null>(null);
  const waiting = useRef<Gauge | null>(null); // its second end is missing
  const sawPen = useRef(false);
  useEffect(() => {
    if (!drawing) waiting.current = null;
  }, [drawing]);

  const corner = origin(viewport, size);
  const toImage = ({ x, y }: Point) => ({ x: corner.x + x / viewport.scale, y: corner.y + y / viewport.scale });
  const cssPixels = (count: number) => (count * size.width) / (canvas.current?.clientWidth || size.width);
  const partNear = (at: Point, kind: string) => {
    const reach = cssPixels(REACH[kind as keyof typeof REACH] ?? REACH.touch) / viewport.scale;
    const place = toImage(at);
    const parts = gauges.flatMap((gauge) =>
      partsOf(gauge, readings.get(gauge.number)).map(([part, where]) => ({
        gauge,
        part,
        away: distance(where, place),
      })),
    );
    return parts.filter(({ away }) => away <= reach).sort((one, other) => one.away - other.away)[0];
  };
  const draw = ({ gauge, part }: Held, at: Point) => {
    const drawn = movedTo(gauge, part, toImage(at), image);
    control.draw(drawn);
    return drawn;
  };
  const begun = (at: Point, kind: string): Omit<Held, "start" | "moved"> => {
    if (waiting.current) return { gauge: waiting.current, part: "to", second: true };
    const near = partNear(at, kind);
    if (near) return { gauge: near.gauge, part: near.part, second: false };
    const place = toImage(at);
    const gauge = movedTo({ number: control.next, kind: tool!, from: place, to: place }, "whole", place, image);
    return { gauge, part: tool === "width" ? "whole" : "to", second: false };
  };

  const brush: Brush = {
    begin: (event, at) => {
      sawPen.current ||= event.pointerType === "pen";
      // Of who draws with a pen, a hand that rests on the screen leaves nothing.
      if (event.pointerType === "touch" && sawPen.current) return false;
      held.current = { ...begun(at, event.pointerType), start: at, moved: false };
      const { gauge, second } = held.current;
      if (second || gauge.number === control.next) held.current = { ...held.current, gauge: draw(held.current, at) };
      return true;
    },
    follow: (_, at) => {
      if (!held.current) return;
      const moved = held.current.moved || distance(at, held.current.start) > cssPixels(MOVED);
      if (moved) held.current = { ...held.current, moved, gauge: draw(held.current, at) };
    },
    end: () => {
      if (!held.current) return;
      const { gauge, part, second, moved } = held.current;
      held.current = null;
      const isNew = gauge.number === control.next;
      if (isNew && !second && !moved && part === "to") waiting.current = gauge;
      else if (isNew) control.offer(gauge, part);
      else control.keep(gauge, part);
    },
    cancel: () => {
      if (held.current?.second) control.draw(waiting.current);
      else control.draw(null);
      held.current = null;
    },
    hover: (at) => {
      if (!at || held.current) return;
      if (waiting.current) draw({ gauge: waiting.current, part: "to", start: at, second: true, moved: false }, at);
      canvas.current!.dataset.near = String(!waiting.current && partNear(at, "mouse") !== undefined);
    },
  };

  const press = ({ key, ctrlKey, metaKey, altKey }: KeyboardEvent): boolean => {
    if (!tool || (key !== " " && key !== "Enter") || ctrlKey || metaKey || altKey) return false;
    const gauge = inTheMiddle(tool, control.next, viewport, size);
    control.keep(movedTo(gauge, "whole", viewport.centre, image), tool === "length" ? "from" : "whole");
    return true;
  };
  return { brush: tool ? brush : null, press };
}

/** A gauge in the middle of what is seen. */
function inTheMiddle(kind: GaugeKind, number: number, { scale, centre: { x, y } }: Viewport, size: Size): Gauge {
  const dx = kind === "width" ? 0 : (SHARE * size.width) / scale / 2;
  const dy = isRegion({ kind }) ? (SHARE * size.height) / scale / 2 : 0;
  return { number, kind, from: { x: x - dx, y: y - dy }, to: { x: x + dx, y: y + dy } };
}

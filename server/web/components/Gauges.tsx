import { type KeyboardEvent, type RefObject, useEffect, useRef } from "react";

import type { GaugeControl } from "@/hooks/useGauges";
import { useMessages } from "@/hooks/useMessages";
import { type Gauge, type GaugePart, isRegion, movedTo, partsOf, type Reading } from "@/lib/gauge";
import { readingText } from "@/lib/readings";
import { boxOf } from "@/lib/regionDensity";
import { origin, type Point, type Size, type Viewport } from "@/lib/viewport";

import styles from "./Gauge.module.css";

const EDGE = 0.85; // of the canvas: further right there is no room for a figure on the right
const FAR = 10; // px of the photograph that an arrow key moves a part with Shift

interface Props {
  readonly control: GaugeControl;
  readonly viewport: Viewport;
  /** Of the canvas, in device pixels. */
  readonly size: Size;
  readonly image: Size;
  /** Gets the focus where a part is gone that had it. */
  readonly canvas: RefObject<HTMLCanvasElement | null>;
}

/** What is measured, over the picture: lines with their figures, and the parts of them that can be moved. */
export function Gauges({ control, viewport, size, image, canvas }: Props) {
  const words = useMessages();
  const { gauges, readings, layers, umPerPx, tool, focus } = control;
  const layer = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!focus) return;
    const part = layer.current?.querySelector<HTMLElement>(`[data-part="${focus.number} ${focus.part}"]`);
    part?.focus({ preventScroll: true });
  }, [focus]);

  const corner = origin(viewport, size);
  const rem = gauges.length
    ? Number.parseFloat(getComputedStyle(document.documentElement).fontSize) * devicePixelRatio
    : 0;
  const onCanvas = ({ x, y }: Point): Point => ({
    x: (x - corner.x) * viewport.scale,
    y: (y - corner.y) * viewport.scale,
  });
  const place = (at: Point) => {
    const { x, y } = onCanvas(at);
    return { left: `${(100 * x) / size.width}%`, top: `${(100 * y) / size.height}%` };
  };
  const press = (gauge: Gauge, part: GaugePart, at: Point) => (event: KeyboardEvent) => {
    const by = event.shiftKey ? FAR : 1;
    const way = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way) control.keep(movedTo(gauge, part, { x: at.x + way[0]!, y: at.y + way[1]! }, image), part);
    else if (event.key === "Delete" || event.key === "Backspace") {
      control.remove(gauge.number);
      canvas.current?.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
  };
  return (
    <div ref={layer} className={styles.gauges} {...(tool && { role: "group", "aria-label": words.gauge.list })}>
      <svg viewBox={`0 0 ${size.width} ${size.height}`} preserveAspectRatio="none" aria-hidden="true">
        {gauges.map((gauge) => (
          <Shape key={gauge.number} gauge={gauge} reading={readings.get(gauge.number)} onCanvas={onCanvas} rem={rem} />
        ))}
      </svg>
      {gauges.map((gauge) => {
        const text = readingText(readings.get(gauge.number), layers, umPerPx, words);
        const [at, wanted] = labelPlace(gauge, readings.get(gauge.number));
        const side = wanted === "right" && onCanvas(at).x > EDGE * size.width ? "left" : wanted;
        const number = gauges.length > 1 ? `${words.number(gauge.number)}: ` : "";
        return (
          <span key={gauge.number} className={styles.label} data-side={side} style={place(at)} aria-hidden="true">
            <span>
              {number}
              {isRead(readings.get(gauge.number)) ? text : "–"}
            </span>
          </span>
        );
      })}
      {tool &&
        gauges.flatMap((gauge) => {
          const reading = readings.get(gauge.number);
          const { name, kinds, parts, part: told } = words.gauge;
          const called = name(kinds[gauge.kind], gauge.number);
          return partsOf(gauge, reading).map(([part, at]) => (
            <button
              key={`${gauge.number} ${part}`}
              type="button"
              className={styles.part}
              data-part={`${gauge.number} ${part}`}
              data-kind={gauge.kind}
              style={place(at)}
              aria-label={told(called, parts[part], readingText(reading, layers, umPerPx, words))}
              aria-keyshortcuts="ArrowLeft ArrowRight ArrowUp ArrowDown Delete"
              onKeyDown={press(gauge, part, gauge.kind === "width" ? gauge.from : at)}
            />
          ));
        })}
    </div>
  );
}

interface ShapeProps {
  readonly gauge: Gauge;
  readonly reading: Reading | undefined;
  readonly onCanvas: (at: Point) => Point;
  readonly rem: number;
}

/** Twice the same: a light line on a dark one is seen on whatever lies below. */
function Shape(props: ShapeProps) {
  const path = pathOf(props);
  return (
    <>
      <path className={styles.casing} d={path} />
      <path className={styles.line} d={path} />
    </>
  );
}

const JAW = 0.44; // rem of a mark at an end, to each side
const TAIL = 0.625; // rem of a calliper's arms, outside of its jaws

/** `rem`: in device pixels. */
function pathOf({ gauge, reading, onCanvas, rem }: ShapeProps): string {
  if (isRegion(gauge)) {
    const { left, top, right, bottom } = boxOf(gauge);
    const [a, b] = [onCanvas({ x: left, y: top }), onCanvas({ x: right, y: bottom })];
    if (gauge.kind === "rectangle") return `M${a.x} ${a.y}H${b.x}V${b.y}H${a.x}Z`;
    const [rx, ry, y] = [(b.x - a.x) / 2, (b.y - a.y) / 2, (a.y + b.y) / 2];
    return `M${a.x} ${y}A${rx} ${ry} 0 0 1 ${b.x} ${y}A${rx} ${ry} 0 0 1 ${a.x} ${y}Z`;
  }
  const calibre = reading?.kind === "width" ? reading.calibre : null;
  if (gauge.kind === "width" && !calibre) return crossAt(onCanvas(gauge.from), rem);
  const [from, to] = [onCanvas((calibre ?? gauge).from), onCanvas((calibre ?? gauge).to)];
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [u, v] = [(to.x - from.x) / length, (to.y - from.y) / length]; // along it
  const [jaw, tail] = [JAW * rem, TAIL * rem];
  const jawAt = ({ x, y }: Point) => `M${x + v * jaw} ${y - u * jaw}L${x - v * jaw} ${y + u * jaw}`;
  const line = (from: Point, x: number, y: number) => `M${from.x} ${from.y}L${x} ${y}`;
  if (!calibre) return jawAt(from) + line(from, to.x, to.y) + jawAt(to);
  // The jaws of a calliper stand at the edges, and what lies between them stays free to be seen.
  const arms = line(from, from.x - u * tail, from.y - v * tail) + line(to, to.x + u * tail, to.y + v * tail);
  return jawAt(from) + arms + jawAt(to);
}

function crossAt({ x, y }: Point, rem: number): string {
  const arm = JAW * rem;
  return `M${x - arm} ${y - arm}L${x + arm} ${y + arm}M${x - arm} ${y + arm}L${x + arm} ${y - arm}`;
}

/** Whether there is a figure. */
function isRead(reading: Reading | undefined): boolean {
  if (reading?.kind === "width") return reading.calibre !== null;
  return reading !== undefined && (reading.kind === "length" || reading.shares !== null);
}

/** Where the figure stands, and on which side of it. */
function labelPlace(gauge: Gauge, reading: Reading | undefined): [at: Point, side: "left" | "right" | "above"] {
  if (isRegion(gauge)) {
    const { left, right, top } = boxOf(gauge);
    return [{ x: (left + right) / 2, y: top }, "above"];
  }
  const { from, to } = (reading?.kind === "width" && reading.calibre) || gauge;
  // A calliper's stands on the right; a ruler's where it was drawn to.
  if (gauge.kind === "width") return [from.x > to.x ? from : to, "right"];
  return [to, to.x < from.x ? "left" : "right"];
}

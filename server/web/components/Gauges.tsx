import { type KeyboardEvent, type RefObject, useEffect, useRef } from "react";

import type { GaugeControl } from "@/hooks/useGauges";
import { useMessages } from "@/hooks/useMessages";
import { type Gauge, type GaugePart, isRegion, movedTo, partsOf, type Reading } from "@/lib/gauge";
import { readingText } from "@/lib/readings";
import { boxOf } from "@/lib/regionDensity";
import { origin, type Point, type Size, type Viewport } from "@/lib/viewport";

import styles from "./Gauge.module.css";
import { GaugeShape } from "./GaugeShape";

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
  const { gauges, readings, tool, focus } = control;
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
  const share = (at: Point): Point => {
    const { x, y } = onCanvas(at);
    return { x: x / size.width, y: y / size.height };
  };
  return (
    <div ref={layer} className={styles.gauges} {...(tool && { role: "group", "aria-label": words.gauge.list })}>
      <svg viewBox={`0 0 ${size.width} ${size.height}`} preserveAspectRatio="none" aria-hidden="true">
        {gauges.map((gauge) => (
          <GaugeShape
            key={gauge.number}
            gauge={gauge}
            reading={readings.get(gauge.number)}
            onCanvas={onCanvas}
            rem={rem}
          />
        ))}
      </svg>
      <Labels control={control} share={share} />
      {tool && <Parts control={control} share={share} image={image} canvas={canvas} />}
    </div>
  );
}

interface LabelsProps {
  readonly control: GaugeControl;
  /** Where a point of the photograph is on the canvas, in shares of its width and height. */
  readonly share: (at: Point) => Point;
}

/** The figures. Screen readers find them in the panel. */
function Labels({ control: { gauges, readings, layers, umPerPx }, share }: LabelsProps) {
  const words = useMessages();
  return gauges.map((gauge) => {
    const reading = readings.get(gauge.number);
    const [at, wanted] = labelPlace(gauge, reading);
    const side = wanted === "right" && share(at).x > EDGE ? "left" : wanted;
    return (
      <span key={gauge.number} className={styles.label} data-side={side} style={placed(share(at))} aria-hidden="true">
        <span>
          {gauges.length > 1 && `${words.number(gauge.number)}: `}
          {isRead(reading) ? readingText(reading, layers, umPerPx, words) : "–"}
        </span>
      </span>
    );
  });
}

/** What can be moved by keys. By pointers it is moved on the canvas, which has all their gestures. */
function Parts({ control, share, image, canvas }: LabelsProps & Pick<Props, "image" | "canvas">) {
  const words = useMessages();
  const { gauges, readings, layers, umPerPx, keep, remove } = control;
  const { name, kinds, parts, part: told } = words.gauge;
  const press = (gauge: Gauge, part: GaugePart, at: Point) => (event: KeyboardEvent) => {
    const by = event.shiftKey ? FAR : 1;
    const way = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way) keep(movedTo(gauge, part, { x: at.x + way[0]!, y: at.y + way[1]! }, image), part);
    else if (event.key === "Delete" || event.key === "Backspace") {
      remove(gauge.number);
      canvas.current?.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
  };
  return gauges.flatMap((gauge) => {
    const reading = readings.get(gauge.number);
    const called = name(kinds[gauge.kind], gauge.number);
    return partsOf(gauge, reading).map(([part, at]) => (
      <button
        key={`${gauge.number} ${part}`}
        type="button"
        className={styles.part}
        data-part={`${gauge.number} ${part}`}
        data-kind={gauge.kind}
        style={placed(share(at))}
        aria-label={told(called, parts[part], readingText(reading, layers, umPerPx, words))}
        aria-keyshortcuts="ArrowLeft ArrowRight ArrowUp ArrowDown Delete"
        onKeyDown={press(gauge, part, gauge.kind === "width" ? gauge.from : at)}
      />
    ));
  });
}

function placed({ x, y }: Point) {
  return { left: `${100 * x}%`, top: `${100 * y}%` };
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

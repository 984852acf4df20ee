import { type Gauge, isRegion, type Reading } from "@/lib/gauge";
import { boxOf } from "@/lib/regionDensity";
import type { Point } from "@/lib/viewport";

import styles from "./Gauge.module.css";

interface ShapeProps {
  readonly gauge: Gauge;
  readonly reading: Reading | undefined;
  readonly onCanvas: (at: Point) => Point;
  readonly rem: number;
}

/** Twice the same: a light line on a dark one is seen on whatever lies below. */
export function GaugeShape(props: ShapeProps) {
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

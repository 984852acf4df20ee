import type { Point, Size } from "@/lib/viewport";

export const GAUGES = ["length", "width", "rectangle", "ellipse"] as const;

/** A ruler, a calliper, or the shape of a region. */
export type GaugeKind = (typeof GAUGES)[number];

/** What a person has put on a photograph to read a figure there. Points are pixels of the photograph, from its corner. */
export interface Gauge {
  /** From 1; of one photograph. */
  readonly number: number;
  readonly kind: GaugeKind;
  /** One end, or a corner of the box around a region; of a calliper the place, and `to` is the same. */
  readonly from: Point;
  readonly to: Point;
}

/** What can be moved of a gauge: an end, or all of it. */
export type GaugePart = "from" | "to" | "whole";

/** What a gauge reads. */
export type Reading =
  | { readonly kind: "length"; readonly px: number }
  | {
      readonly kind: "width";
      /** Null where there is no vessel, or none with two edges. */
      readonly calibre: Calibre | null;
    }
  | {
      readonly kind: "rectangle" | "ellipse";
      /** Of each class its share of the field of view in the region, 0..1; null where nothing of the field is in it. */
      readonly shares: readonly number[] | null;
    };

/** The width of a vessel, between two points on its edges. */
export interface Calibre {
  readonly from: Point;
  readonly to: Point;
  readonly px: number;
  /** Which class it is of. */
  readonly layer: number;
}

export function isRegion({ kind }: Pick<Gauge, "kind">): boolean {
  return kind === "rectangle" || kind === "ellipse";
}

/** A gauge that is not one yet: both of its ends are in one place. */
export function isEmpty({ kind, from, to }: Gauge): boolean {
  return kind !== "width" && (isRegion({ kind }) ? from.x === to.x || from.y === to.y : distance(from, to) === 0);
}

export function distance(one: Point, other: Point): number {
  return Math.hypot(one.x - other.x, one.y - other.y);
}

export function middle(one: Point, other: Point): Point {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}

/** The number of the next gauge: those that were removed don't come back. */
export function nextNumber(gauges: readonly Gauge[]): number {
  return Math.max(0, ...gauges.map(({ number }) => number)) + 1;
}

/** A gauge with one of its parts in another place, as far as the image goes. */
export function movedTo(gauge: Gauge, part: GaugePart, place: Point, image: Size): Gauge {
  if (part !== "whole") return { ...gauge, [part]: within(place, image) };
  const { from, to } = gauge;
  const at = middle(from, to);
  const half = { x: Math.abs(from.x - to.x) / 2, y: Math.abs(from.y - to.y) / 2 };
  const dx = clamped(place.x, half.x, image.width - half.x) - at.x;
  const dy = clamped(place.y, half.y, image.height - half.y) - at.y;
  return { ...gauge, from: { x: from.x + dx, y: from.y + dy }, to: { x: to.x + dx, y: to.y + dy } };
}

/** The parts of a gauge that can be moved, and where they are seen. */
export function partsOf(gauge: Gauge, reading: Reading | undefined): readonly (readonly [GaugePart, Point])[] {
  const { kind, from, to } = gauge;
  const calibre = reading?.kind === "width" ? reading.calibre : null;
  if (kind === "width") return [["whole", calibre ? middle(calibre.from, calibre.to) : from]];
  const ends = [
    ["from", from],
    ["to", to],
  ] as const;
  return kind === "length" ? ends : [...ends, ["whole", middle(from, to)]];
}

/** A point that lies in the image. */
function within({ x, y }: Point, { width, height }: Size): Point {
  return { x: clamped(x, 0, width), y: clamped(y, 0, height) };
}

function clamped(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

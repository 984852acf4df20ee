import type { Size } from "@/lib/viewport";

/** Where a brush touches, in pixels of the image, and how wide it is there. */
export interface Touch {
  readonly x: number;
  readonly y: number;
  /** px, 1 or more. */
  readonly size: number;
}

/** Pixels of one row. */
export interface Span {
  readonly row: number;
  readonly from: number;
  /** Not included. */
  readonly to: number;
}

const PIECE = 32; // px of a line that are looked at together: the box around a long slanting one is nearly empty

/**
 * The pixels of an image that a round brush covers on its way from one place to another: those whose middles are no further
 * from the line than its radius there. It touches whole pixels: an odd size is centred on a pixel, an even one on a corner.
 */
export function* strokeSpans(first: Touch, last: Touch, image: Size): Generator<Span, void> {
  const [from, to] = [snapped(first), snapped(last)];
  const pieces = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / PIECE));
  for (let piece = 0; piece < pieces; piece++)
    yield* pieceSpans(between(from, to, piece / pieces), between(from, to, (piece + 1) / pieces), image);
}

function* pieceSpans(from: Touch, to: Touch, { width, height }: Size): Generator<Span, void> {
  const reach = Math.max(from.size, to.size) / 2;
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const bottom = Math.min(height, Math.ceil(Math.max(from.y, to.y) + reach));
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
  const right = Math.min(width, Math.ceil(Math.max(from.x, to.x) + reach));
  for (let row = top; row < bottom; row++) {
    let start = -1;
    for (let x = left; x <= right; x++) {
      const inside = x < right && isCovered(x + 0.5, row + 0.5, from, to);
      if (inside && start < 0) start = x;
      if (!inside && start >= 0) {
        yield { row, from: start, to: x };
        start = -1;
      }
    }
  }
}

function isCovered(x: number, y: number, from: Touch, to: Touch): boolean {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / length)) : 0;
  const radius = (from.size + along * (to.size - from.size)) / 2;
  return (x - from.x - along * dx) ** 2 + (y - from.y - along * dy) ** 2 <= radius * radius + 1e-9;
}

function snapped({ x, y, size }: Touch): Touch {
  const whole = Math.max(1, Math.round(size));
  const on = whole % 2 ? (value: number) => Math.floor(value) + 0.5 : Math.round;
  return { x: on(x), y: on(y), size: whole };
}

function between(from: Touch, to: Touch, share: number): Touch {
  return {
    x: from.x + share * (to.x - from.x),
    y: from.y + share * (to.y - from.y),
    size: from.size + share * (to.size - from.size),
  };
}

import type { Point, Size } from "@/lib/viewport";

/** The corners of a convex outline, in pixels. */
export type Outline = readonly Point[];

/** Outlines as the server sends them: "x,y x,y x,y | x,y …". */
export function outlinesOf(text: string): Outline[] {
  const corner = (pair: string): Point => {
    const [x, y] = pair.split(",").map(Number);
    return { x: x!, y: y! };
  };
  return text
    .split(" | ")
    .filter(Boolean)
    .map((outline) => outline.split(" ").map(corner));
}

/** 1 for each pixel of an image that lies in one of the outlines, or on it; row by row. */
export function insideOf(outlines: readonly Outline[], { width, height }: Size): Uint8Array {
  const inside = new Uint8Array(width * height);
  for (const outline of outlines) {
    for (let y = 0; y < height; y++) {
      const [first, last] = spanOf(outline, y);
      if (first <= last) inside.fill(1, y * width + Math.max(0, first), y * width + Math.min(width - 1, last) + 1);
    }
  }
  return inside;
}

/** The first and the last pixel of a row, which reaches half a pixel up and down. */
function spanOf(outline: Outline, row: number): [first: number, last: number] {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  outline.forEach((from, number) => {
    const to = outline[(number + 1) % outline.length]!;
    const [top, bottom] = from.y <= to.y ? [from, to] : [to, from];
    if (row < top.y || row > bottom.y) return;
    const at = (y: number) =>
      top.y === bottom.y ? top.x : top.x + ((y - top.y) / (bottom.y - top.y)) * (bottom.x - top.x);
    const ends = [at(Math.max(top.y, row - 0.5)), at(Math.min(bottom.y, row + 0.5))];
    if (top.y === bottom.y) ends.push(bottom.x);
    first = Math.min(first, ...ends);
    last = Math.max(last, ...ends);
  });
  return [Math.round(first), Math.ceil(last - 0.5)]; // of two that are as near the inner one
}

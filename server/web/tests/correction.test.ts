import { expect, test } from "vitest";

import { type Span, strokeSpans, type Touch } from "@/lib/brush";
import { Correction } from "@/lib/correction";
import { ERASED, KEEP, type Mark, Marks, PAINTED } from "@/lib/correctionMarks";
import { Coverage, countExclusive } from "@/lib/coverage";
import { holeAt, holesOf, type Mask, maskOf, specksOf } from "@/lib/regions";

const SIZE = { width: 150, height: 90 };
const AREA = SIZE.width * SIZE.height;

/** The same numbers on each run, 0..1. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function mapOf(seed: number) {
  const next = numbers(seed);
  return { ...SIZE, values: Uint8Array.from({ length: AREA }, () => Math.floor(256 * next())) };
}

function histogram(values: Uint8Array, inside: Uint8Array): number[] {
  const counts = Array<number>(256).fill(0);
  for (const [pixel, value] of values.entries()) if (inside[pixel]) counts[value]!++;
  return counts;
}

const INSIDE = Uint8Array.from({ length: AREA }, (_, pixel) => Number(pixel % 3 > 0));

/** `toEqual` compares number by number. */
function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.from(one).equals(other);
}

function covered(spans: Iterable<Span>): Set<number> {
  const pixels = new Set<number>();
  for (const { row, from, to } of spans) for (let x = from; x < to; x++) pixels.add(row * SIZE.width + x);
  return pixels;
}

/** The pixels that a round brush covers, looked at one by one. */
function byDistance(from: Touch, to: Touch): Set<number> {
  const pixels = new Set<number>();
  for (let y = 0; y < SIZE.height; y++)
    for (let x = 0; x < SIZE.width; x++) {
      const [dx, dy] = [to.x - from.x, to.y - from.y];
      const along = Math.min(
        1,
        Math.max(0, ((x + 0.5 - from.x) * dx + (y + 0.5 - from.y) * dy) / (dx * dx + dy * dy || 1)),
      );
      const away = Math.hypot(x + 0.5 - from.x - along * dx, y + 0.5 - from.y - along * dy);
      if (away <= (from.size + along * (to.size - from.size)) / 2 + 1e-9) pixels.add(y * SIZE.width + x);
    }
  return pixels;
}

test.each([
  ["a dot", 1, [40.5, 30.5], [40.5, 30.5], 1],
  ["a dab", 7, [40.5, 30.5], [40.5, 30.5], 7],
  ["an even one", 4, [40, 30], [40, 30], 4],
  ["along a row", 5, [20.5, 50.5], [90.5, 50.5], 5],
  ["over the image's corner", 12, [3, 4], [-40, -20], 12],
] as const)("a brush covers the pixels that are near enough: %s", (_, size, from, to, last) => {
  const touches = [
    { x: from[0], y: from[1], size },
    { x: to[0], y: to[1], size: last },
  ] as const;
  expect(covered(strokeSpans(...touches, SIZE))).toEqual(byDistance(...touches));
});

test("a long slanting stroke differs from the same in one piece by nothing, a tapered one by its edge alone", () => {
  const [from, to] = [
    { x: 5.5, y: 80.5, size: 9 },
    { x: 140.5, y: 7.5, size: 9 },
  ];
  expect(covered(strokeSpans(from, to, SIZE))).toEqual(byDistance(from, to));
  const thin = { ...to, size: 3 };
  const [found, wanted] = [covered(strokeSpans(from, thin, SIZE)), byDistance(from, thin)];
  const differing = [...found].filter((pixel) => !wanted.has(pixel)).length + wanted.size - found.size;
  expect(Math.abs(differing)).toBeLessThan(0.02 * wanted.size);
});

test("marks are those that were set last, and take memory where there are some", () => {
  const next = numbers(3);
  const marks = new Marks(SIZE.width, SIZE.height);
  const plain = new Uint8Array(AREA);
  for (let step = 0; step < 400; step++) {
    const row = Math.floor(next() * SIZE.height);
    const [one, other] = [Math.floor(next() * SIZE.width), Math.floor(next() * SIZE.width)];
    const [from, to] = [Math.min(one, other), Math.max(one, other)];
    const mark = Math.floor(3 * next()) as Mark;
    const changes = plain
      .slice(row * SIZE.width + from, row * SIZE.width + to)
      .filter((value) => value !== mark).length;
    let [told, wrong] = [0, 0];
    marks.set({ row, from, to, mark }, (x, before) => {
      told++;
      wrong += Number(before !== plain[row * SIZE.width + x]);
    });
    expect([told, wrong]).toEqual([changes, 0]);
    plain.fill(mark, row * SIZE.width + from, row * SIZE.width + to);
  }
  const found = new Uint8Array(AREA);
  for (const { row, from, to, mark } of marks.runs()) found.fill(mark, row * SIZE.width + from, row * SIZE.width + to);
  expect(found).toEqual(plain);
  expect(marks.count).toBe(plain.filter(Boolean).length);
  for (let row = 0; row < SIZE.height; row++) marks.set({ row, from: 0, to: SIZE.width, mark: KEEP }, () => undefined);
  expect([marks.count, marks.bytes]).toEqual([0, 0]);
});

function randomStroke(next: () => number): Span[] {
  const touch = () => ({ x: next() * SIZE.width, y: next() * SIZE.height, size: 1 + Math.floor(12 * next()) });
  return [...strokeSpans(touch(), touch(), SIZE)];
}

test("whatever is drawn, undone and done again: maps, marks and counts are those of the plain way", () => {
  const next = numbers(11);
  const map = mapOf(1);
  const correction = new Correction(SIZE, 1, false, histogram(map.values, INSIDE));
  const [seen] = correction.attach([map], INSIDE);
  const states = [map.values.slice()];
  let at = 0;
  for (let step = 0; step < 80; step++) {
    const kind = next();
    if (kind < 0.25 && at > 0) {
      correction.undo();
      at--;
    } else if (kind < 0.4 && at < states.length - 1) {
      correction.redo();
      at++;
    } else {
      const mark = kind < 0.7 ? PAINTED : ERASED;
      const spans = randomStroke(next);
      const values = states[at]!.slice();
      correction.begin();
      correction.mark(spans, 0, mark);
      for (const pixel of covered(spans)) values[pixel] = mark === PAINTED ? 255 : 0;
      if (correction.end()) {
        states.splice(++at);
        states.push(values);
      }
    }
    expect(same(seen!.values, states[at]!)).toBe(true);
    expect(correction.counts).toEqual(histogram(states[at]!, INSIDE));
    expect([correction.canUndo, correction.canRedo]).toEqual([at > 0, at < states.length - 1]);
  }
  expect(same(correction.applied([map])[0]!.values, states[at]!)).toBe(true);
  while (correction.canUndo) correction.undo();
  expect(same(seen!.values, map.values)).toBe(true);
  expect(correction.marks.count).toBe(0);
});

test("a discarded correction comes back with undo; a stroke that is given up leaves nothing", () => {
  const map = mapOf(2);
  const correction = new Correction(SIZE, 1, false, null);
  const [seen] = correction.attach([map], INSIDE);
  const draw = (mark: Mark) => correction.mark(randomStroke(numbers(mark)), 0, mark);
  correction.begin();
  draw(PAINTED);
  draw(ERASED);
  correction.end();
  const drawn = seen!.values.slice();
  correction.begin();
  draw(PAINTED);
  correction.cancel();
  expect(same(seen!.values, drawn)).toBe(true);
  expect(correction.discard()).toBe(true);
  expect(same(seen!.values, map.values)).toBe(true);
  expect(correction.discard()).toBe(false);
  correction.undo();
  expect(same(seen!.values, drawn)).toBe(true);
});

test("where a pixel belongs to one class at most, painting takes it from the others and erasing from all", () => {
  const maps = [mapOf(4), mapOf(5)];
  const spans = [{ row: 7, from: 10, to: 20 }];
  const at = 7 * SIZE.width + 12;
  for (const [exclusive, painted, erased] of [
    [true, [0, 255], [0, 0]],
    [false, [maps[0]!.values[at], 255], [maps[0]!.values[at], 0]],
  ] as const) {
    const correction = new Correction(SIZE, 2, exclusive, null);
    const seen = correction.attach(maps, null);
    for (const [mark, bytes] of [
      [PAINTED, painted],
      [ERASED, erased],
    ] as const) {
      correction.begin();
      correction.mark(spans, 1, mark);
      correction.end();
      expect(seen.map(({ values }) => values[at])).toEqual(bytes);
    }
    correction.undo();
    correction.undo();
    expect(seen.map(({ values }) => values[at])).toEqual(maps.map(({ values }) => values[at]));
  }
});

/** Parts of what has a value, found pixel by pixel. */
function plainParts({ bits, width, height }: Mask, value: number, corners: boolean): number[][] {
  const seen = new Set<number>();
  const parts: number[][] = [];
  for (let start = 0; start < bits.length; start++) {
    if (bits[start] !== value || seen.has(start)) continue;
    const part = [start];
    seen.add(start);
    for (const pixel of part) {
      const [x, y] = [pixel % width, Math.floor(pixel / width)];
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
        [1, 1],
        [1, -1],
        [-1, 1],
        [-1, -1],
      ] as const) {
        if (dx && dy && !corners) continue;
        const [u, v] = [x + dx, y + dy];
        if (u < 0 || v < 0 || u >= width || v >= height) continue;
        const other = v * width + u;
        if (bits[other] === value && !seen.has(other)) part.push(other);
        seen.add(other);
      }
    }
    parts.push(part);
  }
  return parts;
}

test.each([0.2, 0.45, 0.7])("specks and holes are those of a plain search, %f of the pixels vessel", async (share) => {
  const next = numbers(Math.round(100 * share));
  const mask: Mask = { ...SIZE, bits: Uint8Array.from({ length: AREA }, () => Number(next() < share)) };
  const onEdge = (pixel: number) => {
    const [x, y] = [pixel % SIZE.width, Math.floor(pixel / SIZE.width)];
    return x === 0 || y === 0 || x === SIZE.width - 1 || y === SIZE.height - 1;
  };
  const small = (part: number[]) => part.length < 6;
  const specks = plainParts(mask, 1, true).filter(small);
  expect(covered(await specksOf(mask, 6))).toEqual(new Set(specks.flat()));
  const holes = plainParts(mask, 0, false).filter((part) => !part.some(onEdge));
  expect(covered(await holesOf(mask, 6))).toEqual(new Set(holes.filter(small).flat()));
  for (const hole of holes.slice(0, 5)) {
    const [x, y] = [hole[0]! % SIZE.width, Math.floor(hole[0]! / SIZE.width)];
    expect(covered(await holeAt(mask, x, y))).toEqual(new Set(hole));
  }
  const outside = plainParts(mask, 0, false).find((part) => part.some(onEdge))![0]!;
  expect(await holeAt(mask, outside % SIZE.width, Math.floor(outside / SIZE.width))).toEqual([]);
});

test("the mask of a class is that of its threshold, or of the most probable class", async () => {
  const maps = [mapOf(6), mapOf(7)];
  const [one, other] = [maps[0]!.values, maps[1]!.values];
  const plain = await maskOf({ maps, exclusive: false }, [100, 120], 1);
  expect(plain.bits).toEqual(other.map((value) => Number(value >= 120)));
  const exclusive = await maskOf({ maps, exclusive: true }, [100, 120], 1);
  expect(exclusive.bits).toEqual(
    other.map((value, i) => Number(value >= 120 && !(one[i]! >= 100 && one[i]! >= value))),
  );
});

test.each([0.3, 1, 4.7])("what a change leaves on the canvas is what is drawn anew, at a scale of %f", (scale) => {
  const canvas = { width: 60, height: 50 };
  const viewport = { scale, centre: { x: 70, y: 40 } };
  const maps = [mapOf(8), mapOf(9)];
  const rect = { left: 60, top: 33, right: 83, bottom: 47 };
  const kept = maps.map((map) => Coverage.of(map, viewport, canvas, 6));
  for (const one of kept) {
    one.setCut(90);
    for (const _ of one.prepare());
  }
  for (const { values } of maps)
    for (let y = rect.top; y < rect.bottom; y++)
      values.fill(255, y * SIZE.width + rect.left, y * SIZE.width + rect.right);
  for (const one of kept) one.refresh(one.seeing(rect));
  const anew = maps.map((map) => Coverage.of(map, viewport, canvas, 6));
  for (const one of anew) one.setCut(90);
  expect(kept.map(({ counts }) => counts)).toEqual(anew.map(({ counts }) => counts));
  for (const one of [...kept, ...anew]) one.setCut(140); // the index of before is not used
  expect(kept.map(({ counts }) => counts)).toEqual(anew.map(({ counts }) => counts));
  countExclusive(anew, [90, 90]);
  countExclusive(kept, [90, 90], { left: 0, top: 0, right: kept[0]!.width, bottom: 20 });
  countExclusive(kept, [90, 90], { left: 0, top: 20, right: kept[0]!.width, bottom: kept[0]!.height });
  expect(kept.map(({ counts }) => counts)).toEqual(anew.map(({ counts }) => counts));
});

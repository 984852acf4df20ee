import type { Grey } from "@/lib/png";
import { origin, type Size, type Viewport } from "@/lib/viewport";

/** Pixels, `right` and `bottom` not included. */
export interface Rect {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** What holds two parts. */
export function around(one: Rect, other: Rect): Rect {
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

/** Rows from `top` up to but not including `bottom`; the same number for none. */
export interface Rows {
  readonly top: number;
  readonly bottom: number;
}

/** Which pixels of the canvas the samples belong to, in the order of their bytes: those of byte b from starts[b] on. */
interface Index {
  readonly starts: Uint32Array;
  readonly pixels: Uint32Array;
}

/** The cut of a class that has no pixels: no byte reaches it. */
export const NEVER = 256;

const SLICE = 2 ** 17; // samples that are looked at or indexed at a time: about a millisecond

/**
 * How many of the map's pixels below each pixel of the canvas are vessel, for a threshold that moves.
 *
 * A step of the threshold changes only the samples whose bytes lie between the old cut and the new, a few in a thousand.
 * With an index they are looked up, so a step costs what it changes. To make the index takes many times as long as to
 * look at all samples: until `prepare` has made it, in the time that is left over, a step does that.
 */
export class Coverage {
  /** The part of the canvas that the image covers, device pixels. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Samples for a pixel of the canvas: the largest count. */
  readonly samples: number;
  /** `width` × `height` counts, row by row; of no cut before the first `setCut`. */
  readonly counts: Uint8Array;
  /** The map's bytes, `samples` for each pixel of the canvas in turn. */
  readonly bytes: Uint8Array;
  private cut: number | null = null;
  private index: Index | null = null;

  /** The map's column and row for each sample of the canvas's columns and rows. */
  private readonly columns: Int32Array;
  private readonly rows: Int32Array;

  private constructor(
    private readonly map: Grey,
    viewport: Viewport,
    canvas: Size,
    side: number,
  ) {
    const { scale } = viewport;
    const start = origin(viewport, canvas);
    this.samples = side ** 2;
    [this.left, this.width] = covered(start.x, scale, canvas.width, map.width);
    [this.top, this.height] = covered(start.y, scale, canvas.height, map.height);
    this.columns = positions(start.x + this.left / scale, scale, this.width, map.width, side);
    this.rows = positions(start.y + this.top / scale, scale, this.height, map.height, side);
    this.counts = new Uint8Array(this.width * this.height);
    this.bytes = new Uint8Array(this.counts.length * this.samples);
  }

  /** `finest`: at most this many samples are looked at, squared, for each pixel of the canvas; at most 15. */
  static of(map: Grey, viewport: Viewport, canvas: Size, finest: number): Coverage {
    return drained(Coverage.made(map, viewport, canvas, finest));
  }

  /** The same in steps that take a moment each. */
  static *made(map: Grey, viewport: Viewport, canvas: Size, finest: number): Generator<undefined, Coverage> {
    const one = new Coverage(map, viewport, canvas, sideOf(viewport, finest));
    yield* one.gather(one.whole);
    return one;
  }

  /** All its pixels, as a part of itself. */
  get whole(): Rect {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  /** The pixels whose samples lie in a part of the map, as a part of itself. */
  seeing({ left, top, right, bottom }: Rect): Rect {
    const side = Math.sqrt(this.samples);
    const from = (places: Int32Array, least: number) => Math.floor(firstFrom(places, least) / side);
    const to = (places: Int32Array, end: number) => Math.ceil(firstFrom(places, end) / side);
    return {
      left: from(this.columns, left),
      top: from(this.rows, top),
      right: to(this.columns, right),
      bottom: to(this.rows, bottom),
    };
  }

  /** Reads the map again for some of its pixels, and counts these. What is prepared is of use no longer. */
  refresh(part: Rect): void {
    this.index = null;
    drained(this.gather(part));
    if (this.cut !== null) drained(this.count(this.cut, part));
  }

  /** Counts anew for the least byte that is vessel. `changed` is called for each pixel whose count may have changed. */
  setCut(cut: number, changed: (pixel: number) => void = () => undefined): Rows {
    const before = this.cut;
    this.cut = cut;
    if (before === cut) return { top: 0, bottom: 0 };
    if (before === null) {
      drained(this.count(cut, this.whole));
      for (let pixel = 0; pixel < this.counts.length; pixel++) changed(pixel);
      return { top: 0, bottom: this.height };
    }
    const [low, high] = [Math.min(cut, before), Math.max(cut, before)];
    const by = cut < before ? 1 : -1;
    let first = this.counts.length;
    let last = -1;
    const change = (pixel: number) => {
      this.counts[pixel]! += by;
      changed(pixel);
      if (pixel < first) first = pixel;
      if (pixel > last) last = pixel;
    };
    if (this.index) {
      const { starts, pixels } = this.index;
      for (let i = starts[low]!; i < starts[high]!; i++) change(pixels[i]!);
    } else {
      const { bytes, samples } = this;
      for (let sample = 0; sample < bytes.length; sample++)
        if (bytes[sample]! >= low && bytes[sample]! < high) change(Math.floor(sample / samples));
    }
    return last < 0
      ? { top: 0, bottom: 0 }
      : { top: Math.floor(first / this.width), bottom: Math.floor(last / this.width) + 1 };
  }

  /** Counts for the first cut, in steps that take a moment each: `setCut` has then nothing to do for it. */
  *countFirst(cut: number): Generator<undefined, void> {
    yield* this.count(cut, this.whole);
    this.cut = cut;
  }

  private *count(cut: number, part: Rect): Generator<undefined, void> {
    const { bytes, counts, samples, width } = this;
    for (const { left, top, right, bottom } of bandsOf(part, samples)) {
      for (let y = top; y < bottom; y++) {
        for (let pixel = y * width + left, sample = pixel * samples; pixel < y * width + right; pixel++) {
          let vessel = 0;
          for (let i = 0; i < samples; i++) if (bytes[sample++]! >= cut) vessel++;
          counts[pixel] = vessel;
        }
      }
      yield;
    }
  }

  /** The map's bytes at all pairs of rows and columns that belong to some of its pixels. */
  private *gather(part: Rect): Generator<undefined, void> {
    const { map, bytes, columns, rows, samples, width } = this;
    const side = Math.sqrt(samples);
    for (const { left, top, right, bottom } of bandsOf(part, samples)) {
      for (let y = top; y < bottom; y++) {
        let sample = (y * width + left) * samples;
        for (let x = left; x < right; x++) {
          for (let j = 0; j < side; j++) {
            const row = rows[y * side + j]! * map.width;
            for (let i = 0; i < side; i++) bytes[sample++] = map.values[row + columns[x * side + i]!]!;
          }
        }
      }
      yield;
    }
  }

  /** Makes the index; each step of the generator takes a moment only. */
  *prepare(): Generator<undefined, void> {
    if (this.index) return;
    const { bytes, samples } = this;
    const next = new Uint32Array(257); // where the next sample of a byte goes; at first, one byte late, how many there are
    for (let from = 0; from < bytes.length; from += SLICE) {
      const end = Math.min(bytes.length, from + SLICE);
      for (let sample = from; sample < end; sample++) next[bytes[sample]! + 1]!++;
      yield;
    }
    for (let byte = 1; byte < 257; byte++) next[byte]! += next[byte - 1]!;
    const starts = next.slice();
    const pixels = new Uint32Array(bytes.length);
    const step = samples * Math.ceil(SLICE / samples); // whole pixels
    for (let from = 0; from < bytes.length; from += step) {
      const end = Math.min(bytes.length, from + step);
      for (let pixel = from / samples, sample = from; sample < end; pixel++) {
        for (let i = 0; i < samples; i++) pixels[next[bytes[sample++]!]!++] = pixel;
      }
      yield;
    }
    this.index = { starts, pixels };
  }

  /** The counts were changed by another one: they are of no cut. */
  forgetCut(): void {
    this.cut = null;
  }
}

/**
 * Counts for classes of which a sample belongs to one at most: to the most probable one of those whose cuts it reaches,
 * of equals to the first. The classes are of one picture, viewport and canvas. `part`: of their pixels.
 */
export function countExclusive(classes: readonly Coverage[], cuts: readonly number[], part?: Rect): void {
  drained(countingExclusive(classes, cuts, part));
}

/** The same in steps that take a moment each. */
export function* countingExclusive(
  classes: readonly Coverage[],
  cuts: readonly number[],
  part = classes[0]?.whole,
): Generator<undefined, void> {
  const [first] = classes;
  if (!first || !part) return;
  for (const one of classes) one.forgetCut();
  const { samples, width } = first;
  for (const { left, top, right, bottom } of bandsOf(part, samples * classes.length)) {
    for (let y = top; y < bottom; y++) {
      for (let pixel = y * width + left, sample = pixel * samples; pixel < y * width + right; pixel++) {
        for (const one of classes) one.counts[pixel] = 0;
        for (let i = 0; i < samples; i++, sample++) {
          const winner = winnerOf(classes, cuts, sample);
          if (winner >= 0) classes[winner]!.counts[pixel]!++;
        }
      }
    }
    yield;
  }
}

/** Which of some classes the byte at a place belongs to, where it belongs to one at most; -1: none. */
export function winnerOf(
  classes: readonly { readonly bytes: Uint8Array }[],
  cuts: readonly number[],
  at: number,
): number {
  let winner = -1;
  let highest = -1;
  for (let number = 0; number < classes.length; number++) {
    const byte = classes[number]!.bytes[at]!;
    if (byte >= cuts[number]! && byte > highest) {
      winner = number;
      highest = byte;
    }
  }
  return winner;
}

/** Samples from side to side of a pixel of the canvas: no more than there are pixels of the map. */
export function sideOf({ scale }: Viewport, finest: number): number {
  return Math.min(finest, Math.max(1, Math.ceil(1 / scale)));
}

/** A part in bands of rows, each of about as many samples as are looked at at a time. */
function* bandsOf(part: Rect, samples: number): Generator<Rect, void> {
  const rows = Math.max(1, Math.ceil(SLICE / samples / Math.max(1, part.right - part.left)));
  for (let top = part.top; top < part.bottom; top += rows)
    yield { ...part, top, bottom: Math.min(part.bottom, top + rows) };
}

/** How many of these, which never fall, are less than `least`: the place of the first one that is not. */
function firstFrom(places: Int32Array, least: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a generator returns at its end, at once. */
function drained<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The first pixel of an axis of the canvas whose middle lies in the image, and how many there are. */
function covered(start: number, scale: number, length: number, all: number): [first: number, count: number] {
  const first = Math.max(0, Math.ceil(-start * scale - 0.5));
  const end = Math.min(length, Math.ceil((all - start) * scale - 0.5));
  return [first, Math.max(0, end - first)];
}

/** For each sample of each pixel of an axis the pixel of the map. */
function positions(start: number, scale: number, length: number, all: number, side: number): Int32Array {
  return Int32Array.from({ length: length * side }, (_, sample) => {
    const at = Math.floor(start + (sample + 0.5) / side / scale);
    return Math.min(all - 1, Math.max(0, at));
  });
}

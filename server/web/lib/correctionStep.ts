import type { Mark, Run } from "@/lib/correctionMarks";

const FIRST = 64; // runs that a step has room for at first

/**
 * What one step of a correction changed, as runs of pixels: 8 bytes for each, however long it is. So undo takes memory for
 * what was changed, and not for masks.
 */
export class Step {
  /** Of each run the place of its first pixel, and its length with the marks before and after. */
  private words = new Uint32Array(2 * FIRST);
  private used = 0;

  constructor(private readonly width: number) {}

  get bytes(): number {
    return this.words.byteLength;
  }

  get isEmpty(): boolean {
    return this.used === 0;
  }

  /** A pixel has changed. Those of one row that come one after the other become one run. */
  add(x: number, row: number, before: Mark, after: Mark): void {
    const place = row * this.width + x;
    const marks = before * 4 + after;
    const last = this.used - 2;
    if (last >= 0 && x > 0) {
      const word = this.words[last + 1]!;
      if (this.words[last]! + (word >>> 4) === place && (word & 15) === marks) {
        this.words[last + 1] = word + 16;
        return;
      }
    }
    if (this.used === this.words.length) {
      const more = new Uint32Array(2 * this.used);
      more.set(this.words);
      this.words = more;
    }
    this.words[this.used++] = place;
    this.words[this.used++] = 16 + marks;
  }

  /** Joins the runs that touch, such as those of a stroke's many pieces, and gives back the room that is left over. */
  close(): void {
    const { words, used } = this;
    const order = Uint32Array.from({ length: used / 2 }, (_, run) => run).sort(
      (one, other) => words[2 * one]! - words[2 * other]!,
    );
    const joined = new Uint32Array(used);
    let end = 0;
    for (const run of order) {
      const [place, word] = [words[2 * run]!, words[2 * run + 1]!];
      const before = end ? joined[end - 1]! : 0;
      const touches = end > 0 && joined[end - 2]! + (before >>> 4) === place && place % this.width > 0;
      if (touches && (before & 15) === (word & 15)) {
        joined[end - 1] = before + (word & ~15);
      } else {
        joined[end++] = place;
        joined[end++] = word;
      }
    }
    this.words = joined.slice(0, end);
    this.used = end;
  }

  /** The runs with the marks that they had before, or have after. */
  *runs(which: "before" | "after"): Generator<Run, void> {
    for (let at = 0; at < this.used; at += 2) {
      const [place, word] = [this.words[at]!, this.words[at + 1]!];
      const row = Math.floor(place / this.width);
      const from = place - row * this.width;
      const mark = (which === "before" ? (word >>> 2) & 3 : word & 3) as Mark;
      yield { row, from, to: from + (word >>> 4), mark };
    }
  }
}

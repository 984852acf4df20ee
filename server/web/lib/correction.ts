import { ERASED, KEEP, type Mark, Marks, PAINTED, type Run } from "@/lib/correctionMarks";
import { Step } from "@/lib/correctionStep";
import type { Rect } from "@/lib/coverage";
import type { Grey } from "@/lib/png";
import type { Histogram } from "@/lib/probability";
import type { Size } from "@/lib/viewport";

/** Maps that change while they are looked at. */
export interface Edits {
  /** `changed` is called with the pixels whose bytes have changed, in any of the maps. Returns what ends that. */
  readonly subscribe: (changed: (rect: Rect) => void) => () => void;
}

/** The maps of a photograph's classes as the model has made them, and a copy that is corrected. */
interface Attached {
  readonly own: readonly Grey[];
  readonly maps: readonly Grey[];
  /** 1 in the field of view; null where it is not known. */
  readonly inside: Uint8Array | null;
}

/**
 * What a person has changed in the masks of one photograph: marks over the probability maps, for each class. A pixel that is
 * painted has the byte 255, one that is erased 0, so they stay so when the threshold moves, and every other pixel follows it.
 *
 * All steps can be undone and done again. Each holds the runs of pixels that it changed.
 */
export class Correction implements Edits {
  readonly marks: Marks;
  /** Another number after each change. */
  version = 0;
  private done: Step[] = [];
  private undone: Step[] = [];
  private open: Step | null = null;
  private attached: Attached | null = null;
  private levels: number[] | null;
  private readonly listeners = new Set<(rect: Rect) => void>();

  /** `counts`: of a model of one class how many pixels of the field of view have each byte. */
  constructor(
    readonly size: Size,
    private readonly classes: number,
    /** Whether a pixel belongs to one class at most. */
    readonly exclusive: boolean,
    counts: Histogram | null,
  ) {
    this.marks = new Marks(size.width, size.height * classes);
    this.levels = counts && [...counts];
  }

  /** Of the corrected map of one class; null where it is not known. */
  get counts(): Histogram | null {
    return this.levels && [...this.levels];
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Bytes that marks and steps take. */
  get bytes(): number {
    return [...this.done, ...this.undone].reduce((sum, step) => sum + step.bytes, this.marks.bytes);
  }

  /** The corrected maps, which change with each step from now on. Nothing can be changed before. */
  attach(own: readonly Grey[], inside: Uint8Array | null): readonly Grey[] {
    if (!inside) this.levels = null;
    const maps = this.applied(own);
    this.attached = { own, maps, inside };
    return maps;
  }

  /** Lets go of corrected maps, unless others have taken their place. */
  detach(maps: readonly Grey[]): void {
    if (this.attached?.maps === maps) this.attached = null;
  }

  get isAttached(): boolean {
    return this.attached !== null;
  }

  /** A corrected copy of maps. */
  applied(own: readonly Grey[]): Grey[] {
    const maps = own.map((map) => ({ ...map, values: map.values.slice() }));
    for (const { row, from, to, mark } of this.marks.runs()) {
      const { values, start } = this.rowOf(maps, row);
      values.fill(byteOf(mark), start + from, start + to);
    }
    return maps;
  }

  subscribe(changed: (rect: Rect) => void): () => void {
    this.listeners.add(changed);
    return () => this.listeners.delete(changed);
  }

  /** Begins a step, to which all changes belong until it ends. */
  begin(): void {
    this.open = new Step(this.size.width);
  }

  /** Marks pixels of a class. Where a pixel belongs to one class at most, the others follow. */
  mark(runs: Iterable<Omit<Run, "mark">>, layer: number, mark: Mark): void {
    this.write(this.ofAllClasses(runs, layer, mark));
  }

  /** Ends the step. Whether it has changed anything. */
  end(): boolean {
    const { open } = this;
    this.open = null;
    if (!open || open.isEmpty) return false;
    open.close();
    this.done.push(open);
    this.undone = [];
    return true;
  }

  /** Takes back the step that has begun, as if it never had. */
  cancel(): void {
    const { open } = this;
    this.open = null;
    if (open) this.write([...open.runs("before")].reverse());
  }

  undo(): void {
    const step = this.done.pop();
    if (!step) return;
    this.undone.push(step);
    this.write(step.runs("before"));
  }

  redo(): void {
    const step = this.undone.pop();
    if (!step) return;
    this.done.push(step);
    this.write(step.runs("after"));
  }

  /** Removes all marks, as a step. */
  discard(): boolean {
    this.begin();
    this.write([...this.marks.runs()].map((run) => ({ ...run, mark: KEEP })));
    return this.end();
  }

  /** Runs of marks of any class, as they are. */
  write(runs: Iterable<Run>): void {
    this.version++;
    let [left, top, right, bottom] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0];
    for (const run of runs) {
      this.writeRun(run);
      const y = run.row % this.size.height;
      left = Math.min(left, run.from);
      right = Math.max(right, run.to);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
    }
    if (left < right) for (const changed of this.listeners) changed({ left, top, right, bottom });
  }

  private writeRun(run: Run): void {
    const { attached, open, levels } = this;
    if (!attached) throw new Error("the correction has no maps");
    const { row, mark } = run;
    const { values: own, start } = this.rowOf(attached.own, row);
    const { values } = this.rowOf(attached.maps, row);
    const { inside } = attached;
    this.marks.set(run, (x, before) => {
      const place = start + x;
      const byte = mark === KEEP ? own[place]! : byteOf(mark);
      if (levels && inside?.[place]) {
        levels[values[place]!]!--;
        levels[byte]!++;
      }
      values[place] = byte;
      open?.add(x, row, before, mark);
    });
  }

  /** The values of the class that a row belongs to, and the place of its first pixel there. */
  private rowOf(maps: readonly Grey[], row: number): { values: Uint8Array; start: number } {
    const layer = Math.floor(row / this.size.height);
    return { values: maps[layer]!.values, start: (row - layer * this.size.height) * this.size.width };
  }

  private *ofAllClasses(runs: Iterable<Omit<Run, "mark">>, layer: number, mark: Mark): Generator<Run, void> {
    const { height } = this.size;
    for (const { row, from, to } of runs) {
      for (let number = 0; number < this.classes; number++) {
        const own = number === layer;
        // What is painted as one class is no other; what is erased is none at all.
        const said = own || mark === KEEP ? mark : ERASED;
        if (own || this.exclusive) yield { row: number * height + row, from, to, mark: said };
      }
    }
  }
}

/** Of a pixel that is marked. */
function byteOf(mark: Mark): number {
  return mark === PAINTED ? 255 : 0;
}

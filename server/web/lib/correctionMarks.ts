/** What a person says of a pixel of a class: nothing, vessel, or none. */
export const KEEP = 0;
export const PAINTED = 1;
export const ERASED = 2;
export type Mark = typeof KEEP | typeof PAINTED | typeof ERASED;

const SIDE = 64; // px of a tile, from side to side

/** Pixels of one row that get the same mark: those from `from` up to but not including `to`. */
export interface Run {
  /** Of the maps of all classes, which lie one below the other. */
  readonly row: number;
  readonly from: number;
  readonly to: number;
  readonly mark: Mark;
}

/** The marks of the pixels of some maps, which lie one below the other. Memory is taken for tiles that have some. */
export class Marks {
  /** Pixels that have one. */
  count = 0;
  private readonly tiles = new Map<number, Uint8Array>();
  private readonly across: number;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.across = Math.ceil(width / SIDE);
  }

  /** Bytes that the tiles take. */
  get bytes(): number {
    return this.tiles.size * SIDE * SIDE;
  }

  get(x: number, row: number): Mark {
    return (this.tiles.get(this.tileAt(x, row))?.[placeIn(x, row)] ?? KEEP) as Mark;
  }

  /** `changed` is called for each pixel that had another mark, with that. */
  set({ row, from, to, mark }: Run, changed: (x: number, before: Mark) => void): void {
    for (let left = from; left < to; ) {
      const right = Math.min(to, left - (left % SIDE) + SIDE);
      this.setInTile(left, right, row, mark, changed);
      left = right;
    }
  }

  /** All that is marked, row by row in each tile. */
  *runs(): Generator<Run, void> {
    for (const [number, tile] of this.tiles) {
      const left = (number % this.across) * SIDE;
      const top = Math.floor(number / this.across) * SIDE;
      for (let y = 0; y < SIDE; y++) {
        for (let x = 0; x < SIDE; ) {
          const mark = tile[y * SIDE + x]! as Mark;
          let end = x + 1;
          while (end < SIDE && tile[y * SIDE + end] === mark) end++;
          if (mark !== KEEP) yield { row: top + y, from: left + x, to: left + end, mark };
          x = end;
        }
      }
    }
  }

  private setInTile(left: number, right: number, row: number, mark: Mark, changed: (x: number, before: Mark) => void) {
    const number = this.tileAt(left, row);
    let tile = this.tiles.get(number);
    if (!tile) {
      if (mark === KEEP) return;
      tile = new Uint8Array(SIDE * SIDE);
      this.tiles.set(number, tile);
    }
    for (let x = left, place = placeIn(left, row); x < right; x++, place++) {
      const before = tile[place]! as Mark;
      if (before === mark) continue;
      tile[place] = mark;
      this.count += Number(before === KEEP) - Number(mark === KEEP);
      changed(x, before);
    }
    if (this.count === 0) this.tiles.clear();
  }

  private tileAt(x: number, row: number): number {
    return Math.floor(row / SIDE) * this.across + Math.floor(x / SIDE);
  }
}

function placeIn(x: number, row: number): number {
  return (row % SIDE) * SIDE + (x % SIDE);
}

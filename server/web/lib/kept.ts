import { correctedFrom, type PlainCorrection, plainOf } from "@/lib/corrected";
import type { Photograph, Progress, Strip } from "@/lib/strip";
import { type Sort, sortedBy } from "@/lib/worklist";

/**
 * What is kept of a photograph in this browser: all of it but what is made again from the rest. Whatever else a photograph
 * gets is kept with it, as far as it is plain data and blobs. A correction is made plain.
 */
export type Kept = Omit<Photograph, "id" | "key" | "thumbnail" | "cover" | "corrected" | Later> & {
  readonly correction?: PlainCorrection | null; // what was kept before there were corrections has none
} & Partial<Pick<Photograph, Later>>;

/** What photographs that were kept by an earlier page don't have. */
type Later = "gauges" | "umPerPx" | "model";

/** Raise it where what is kept of a photograph gets another shape: what an earlier page has kept is then dropped. */
const VERSION = 1;
const NAME = "vesselrt-kept";
const STORE = "photographs";
/** Of the one entry beside the database: there while photographs are kept, and how they are sorted. */
const SORTED = "vesselrt-keep";

const WAITING: Progress = { step: "waiting" };

export function keptOf({ id, key, thumbnail, cover, corrected, ...rest }: Photograph): Kept {
  const kept = { ...rest, correction: plainOf(corrected) };
  return kept.progress.step === "working" ? { ...kept, progress: WAITING } : kept;
}

/** Whether the same is kept of both. */
export function sameKept(one: Kept, other: Kept): boolean {
  const names = Object.keys({ ...one, ...other }) as (keyof Kept)[];
  return names.every((name) => Object.is(one[name], other[name]));
}

/** What was kept, beside what has been added meanwhile. */
export function restored(strip: Strip, kept: ReadonlyMap<string, Kept>, sort: Sort): Strip {
  if (!kept.size) return strip;
  const here = new Set(strip.photographs.map(({ key }) => key));
  const back = [...kept]
    .filter(([key]) => !here.has(key))
    .map(([key, one], index) => photographOf(one, key, strip.nextId + index));
  const photographs = sortedBy(sort, [...strip.photographs, ...back]);
  const screen = photographs.length > 1 ? "worklist" : strip.screen;
  const selected = strip.selected ?? photographs[0]!.id;
  return { ...strip, photographs, sort, screen, selected, nextId: strip.nextId + back.length };
}

function photographOf({ correction, ...kept }: Kept, key: string, id: number): Photograph {
  const { progress } = kept;
  const corrected = correction && progress.step === "done" ? correctedFrom(correction, progress.result) : null;
  const { gauges = [], umPerPx = null, model = null } = kept;
  return { ...kept, key, id, gauges, umPerPx, model, thumbnail: null, cover: null, corrected };
}

/** How photographs are sorted that are kept; null where none are, or the browser forbids it. */
export function keptSort(): Sort | null {
  try {
    const sort = localStorage.getItem(SORTED);
    return sort === "name" || sort === "density" || sort === "state" ? sort : null;
  } catch {
    return null;
  }
}

/** Throws where the browser forbids it. */
export function keepSort(sort: Sort | null): void {
  if (sort) localStorage.setItem(SORTED, sort);
  else localStorage.removeItem(SORTED);
}

/** Photographs in this browser's database, by keys that no two tabs have in common. */
export class Shelf {
  private constructor(private readonly database: IDBDatabase) {}

  /**
   * `onGone` is called when another tab forgets everything, or has a newer page. Rejects where the browser allows no database,
   * and where what is kept is a newer page's.
   */
  static open(onGone: () => void): Promise<Shelf> {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => {
      const { result } = opening;
      for (const store of [...result.objectStoreNames]) result.deleteObjectStore(store);
      result.createObjectStore(STORE);
    };
    return answerOf(opening).then((database) => {
      database.onversionchange = () => {
        database.close();
        onGone();
      };
      return new Shelf(database);
    });
  }

  /** Forgets all that is kept, of every tab. */
  static async clear(): Promise<void> {
    await answerOf(indexedDB.deleteDatabase(NAME));
  }

  static newKey(): string {
    return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("-");
  }

  /** What is there, and can be read. */
  async all(): Promise<Map<string, Kept>> {
    const store = this.database.transaction(STORE).objectStore(STORE);
    const [keys, values] = await Promise.all([answerOf(store.getAllKeys()), answerOf(store.getAll())]);
    return new Map(keys.flatMap((key, at) => (isKept(values[at]) ? [[String(key), values[at]] as const] : [])));
  }

  /** Rejects with QuotaExceededError where there is no room left. */
  put(key: string, kept: Kept): Promise<void> {
    return this.written((store) => store.put(kept, key));
  }

  remove(key: string): Promise<void> {
    return this.written((store) => store.delete(key));
  }

  close(): void {
    this.database.close();
  }

  private written(write: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = this.database.transaction(STORE, "readwrite");
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      write(transaction.objectStore(STORE));
    });
  }
}

/** Whether a value from the database is what `keptOf` has made. */
export function isKept(value: unknown): value is Kept {
  const { file, progress, thresholds } = Object(value) as Partial<Kept>;
  if (!(file instanceof File) || !Object(progress).step || typeof thresholds !== "object") return false;
  return progress!.step !== "done" || progress!.result.map instanceof Blob;
}

function answerOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

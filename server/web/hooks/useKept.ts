import { type Dispatch, useCallback, useEffect, useRef, useState } from "react";

import { nameOf } from "@/lib/frames";
import { type Kept, keepSort, keptOf, keptSort, Shelf, sameKept } from "@/lib/kept";
import type { Strip, StripAction } from "@/lib/strip";
import type { Sort } from "@/lib/worklist";

/** Why something is not kept: no room, no permission, or what is there is no page's that this one knows. */
export type KeepTrouble = "full" | "forbidden" | "unreadable";

export interface Keeping {
  readonly on: boolean;
  /** Whether nothing would be lost if the tab were closed now. */
  readonly safe: boolean;
  readonly trouble: KeepTrouble | null;
  /** The names of photographs for which there was no room. */
  readonly left: readonly string[];
  readonly turn: (on: boolean) => void;
  /** Forgets the photographs that are kept, and those of this page. */
  readonly forget: () => void;
}

/** What is in the database of the photographs of the page, by their ids. */
type Written = Map<number, { readonly key: string; readonly kept: Kept }>;

/** Keeps the photographs in this browser if it is told to, and brings back what was kept. */
export function useKept({ photographs, sort }: Strip, dispatch: Dispatch<StripAction>): Keeping {
  const [shelf, setShelf] = useState<Shelf | null>(null);
  const [on, setOn] = useState(false); // a choice is seen before the database is there
  const [trouble, setTrouble] = useState<KeepTrouble | null>(null);
  const [left, setLeft] = useState<readonly string[]>([]);
  const [writing, setWriting] = useState(0);
  const found = useRef<ReadonlyMap<string, Kept>>(new Map()); // what was there when it was opened
  const written = useRef<Written>(new Map());
  const queue = useRef<Promise<void>>(Promise.resolve());

  const gone = useCallback(() => {
    setShelf(null);
    setOn(false);
  }, []);
  const open = useCallback(
    async (sort: Sort) => {
      setTrouble(null);
      setLeft([]);
      const opened = await Shelf.open(gone);
      written.current = new Map();
      found.current = await opened.all();
      dispatch({ type: "restore", kept: found.current, sort });
      setShelf(opened);
      setOn(true);
    },
    [dispatch, gone],
  );

  useEffect(() => {
    const before = keptSort();
    if (before) open(before).catch(() => setTrouble("unreadable"));
  }, [open]);

  useEffect(() => {
    if (shelf) keepSort(sort);
  }, [shelf, sort]);

  useEffect(() => {
    if (!shelf) return;
    const add = (name: string, work: () => Promise<void>) => {
      setWriting((count) => count + 1);
      queue.current = queue.current
        .then(work)
        .catch((error: unknown) => {
          setTrouble(Object(error).name === "QuotaExceededError" ? "full" : "forbidden");
          setLeft((names) => [...new Set([...names, name])]);
        })
        .finally(() => setWriting((count) => count - 1));
    };
    const ids = new Set(photographs.map(({ id }) => id));
    for (const [id, { key, kept }] of written.current) {
      if (ids.has(id)) continue;
      written.current.delete(id);
      add(nameOf(kept), () => shelf.remove(key));
    }
    for (const photograph of photographs) {
      const kept = keptOf(photograph);
      const last = written.current.get(photograph.id);
      const key = last?.key ?? photograph.key ?? Shelf.newKey();
      const before = last?.kept ?? found.current.get(key);
      written.current.set(photograph.id, { key, kept });
      if (!before || !sameKept(before, kept)) add(nameOf(kept), () => shelf.put(key, kept));
    }
  }, [shelf, photographs]);

  const start = async () => {
    keepSort(sort);
    await open(sort);
  };
  const stop = async () => {
    await queue.current;
    gone();
    setTrouble(null);
    shelf?.close();
    keepSort(null);
    await Shelf.clear();
  };
  const turn = (on: boolean) => {
    setOn(on);
    (on ? start() : stop()).catch(() => {
      setOn(false);
      setTrouble("forbidden");
    });
  };
  const forget = () => {
    dispatch({ type: "clear" });
    turn(false);
  };
  const safe = shelf !== null && writing === 0 && left.length === 0;
  return { on, safe, trouble, left, turn, forget };
}

import { expect, test } from "vitest";

import type { Trouble } from "@/lib/errors";
import { nameOf } from "@/lib/frames";
import {
  EMPTY,
  nextToSend,
  type Photograph,
  type Result,
  reduceStrip,
  type Strip,
  type StripAction,
  selectedOf,
  troubleOf,
  worthKeeping,
} from "@/lib/strip";

const TROUBLE: Trouble = { cause: "BusyError", said: "", remedy: "retry" };

function after(...actions: StripAction[]): Strip {
  return actions.reduce(reduceStrip, EMPTY);
}

function add(...names: string[]): StripAction {
  return { type: "add", files: names.map((name) => new File([], name)) };
}

function seen(strip: Strip): string | undefined {
  return selectedOf(strip)?.file.name;
}

function step(id: number, step: "working" | "failed"): StripAction {
  return {
    type: "progress",
    id,
    model: null,
    progress: step === "working" ? { step, sent: 0 } : { step, trouble: TROUBLE },
  };
}

test("the first of new photographs is shown", () => {
  expect(seen(after(add("a", "b")))).toBe("a");
  expect(seen(after(add("a", "b"), add("c", "d")))).toBe("c");
  expect(after(add("a"), add()).selected).toBe(1);
});

test("moving ends at both ends", () => {
  const strip = after(add("a", "b"), { type: "move", by: 1 });
  expect(seen(strip)).toBe("b");
  expect(seen(reduceStrip(strip, { type: "move", by: 1 }))).toBe("b");
  expect(seen(after(add("a", "b"), { type: "move", by: -1 }))).toBe("a");
});

test("one at a time is sent: first the one that is looked at, then in order", () => {
  const strip = after(add("a", "b", "c"), { type: "select", id: 3 });
  expect(nextToSend(strip)?.file.name).toBe("c");
  const sending = reduceStrip(strip, step(3, "working"));
  expect(nextToSend(sending)).toBeUndefined();
  const failed = reduceStrip(sending, step(3, "failed"));
  expect(nextToSend(failed)?.file.name).toBe("a");
  expect(nextToSend(reduceStrip(failed, { type: "again", remedy: "retry" }))?.file.name).toBe("c");
});

test("where a photograph is removed its right neighbour is looked at, else its left, else none", () => {
  const strip = after(add("a", "b", "c"), { type: "select", id: 2 }, { type: "remove", id: 2 });
  expect(seen(strip)).toBe("c");
  const less = reduceStrip(strip, { type: "remove", id: 3 });
  expect(seen(less)).toBe("a");
  expect(reduceStrip(less, { type: "remove", id: 1 }).selected).toBeNull();
});

test("removing another one changes nothing for the one that is looked at; numbers are not used twice", () => {
  const strip = after(add("a", "b"), { type: "remove", id: 2 }, add("c"));
  expect(strip.photographs.map(({ id }) => id)).toEqual([1, 3]);
  expect(seen(reduceStrip(strip, { type: "remove", id: 1 }))).toBe("c");
});

test("news of a photograph that is gone is no news", () => {
  const strip = after(add("a"), { type: "remove", id: 1 });
  expect(reduceStrip(strip, step(1, "failed"))).toEqual(strip);
});

test("a remedy lets all pass that failed for want of it, and nothing else", () => {
  let strip = reduceStrip(EMPTY, { type: "add", files: [new File([], "a"), new File([], "b"), new File([], "c")] });
  const locked: Trouble = { ...TROUBLE, remedy: "key" };
  for (const [id, trouble] of [
    [1, locked],
    [2, TROUBLE],
    [3, locked],
  ] as const)
    strip = reduceStrip(strip, { type: "progress", id, model: null, progress: { step: "failed", trouble } });
  const steps = (remedy: "key" | "retry") =>
    reduceStrip(strip, { type: "again", remedy }).photographs.map(({ progress }) => progress.step);
  expect(steps("key")).toEqual(["waiting", "failed", "waiting"]);
  expect(steps("retry")).toEqual(["failed", "waiting", "failed"]);
});

test("what was refused for want of a key holds the others back, and is told of them", () => {
  const locked: Trouble = { ...TROUBLE, remedy: "key" };
  const strip = after(add("a", "b"), {
    type: "progress",
    id: 1,
    model: null,
    progress: { step: "failed", trouble: locked },
  });
  expect(nextToSend(strip)).toBeUndefined();
  expect(strip.photographs.map((one) => troubleOf(strip.photographs, one))).toEqual([locked, locked]);
  const entered = reduceStrip(strip, { type: "again", remedy: "key" });
  expect(nextToSend(entered)?.file.name).toBe("a");
  expect(troubleOf(entered.photographs, entered.photographs[1]!)).toBeNull();
});

test("several photographs come among all, one alone in the viewer, and one of them is opened and closed again", () => {
  expect(after(add("a")).screen).toBe("viewer");
  const list = after(add("b", "a"));
  expect([list.screen, seen(list)]).toEqual(["worklist", "a"]);
  const opened = reduceStrip(list, { type: "open", id: 1 });
  expect([opened.screen, seen(opened)]).toEqual(["viewer", "b"]);
  expect(reduceStrip(opened, { type: "close" }).screen).toBe("worklist");
  expect(after(add("a"), { type: "close" }).screen).toBe("viewer");
});

test("where a key is asked for, that photograph is opened", () => {
  const locked: Trouble = { ...TROUBLE, remedy: "key" };
  const strip = after(add("a", "b"), {
    type: "progress",
    id: 2,
    model: null,
    progress: { step: "failed", trouble: locked },
  });
  expect([strip.screen, seen(strip)]).toEqual(["viewer", "b"]);
});

test("what was removed comes back to its place, the last one first, as long as it is not forgotten", () => {
  const gone = after(add("a", "b", "c"), step(2, "working"), { type: "remove", id: 2 }, { type: "remove", id: 3 });
  const names = ({ photographs }: Strip) => photographs.map(({ file }) => file.name);
  expect(names(gone)).toEqual(["a"]);
  const one = reduceStrip(gone, { type: "undo" });
  expect([names(one), seen(one)]).toEqual([["a", "c"], "c"]);
  const both = reduceStrip(one, { type: "undo" });
  expect(names(both)).toEqual(["a", "b", "c"]);
  expect(both.photographs[1]!.progress).toEqual({ step: "waiting" }); // it is sent again
  expect(reduceStrip(both, { type: "undo" })).toEqual(both);
  expect(reduceStrip(reduceStrip(gone, { type: "forget" }), { type: "undo" }).photographs).toHaveLength(1);
});

test("thresholds are each photograph's own, given to all at a word, and taken back", () => {
  const chosen = after(add("a", "b"), { type: "thresholds", id: 1, thresholds: { "": 0.3 } });
  const thresholds = (strip: Strip) => strip.photographs.map((one) => one.thresholds[""]);
  expect(thresholds(chosen)).toEqual([0.3, undefined]);
  const all = reduceStrip(chosen, { type: "apply", model: null, thresholds: { "": 0.3 } });
  expect(thresholds(all)).toEqual([0.3, 0.3]);
  expect(thresholds(reduceStrip(all, { type: "undo" }))).toEqual([0.3, undefined]);
});

test("only what takes time to have again is worth a question", () => {
  expect(worthKeeping(EMPTY)).toBe(false);
  expect(worthKeeping(after(add("a")))).toBe(false);
  expect(worthKeeping(after(add("a"), { type: "thresholds", id: 1, thresholds: { "": 0.3 } }))).toBe(true);
  expect(worthKeeping(after(add("a", "b")))).toBe(true);
});

test("a file of several photographs unfolds once the server has told how many there are", () => {
  const done = (number: number): Photograph["progress"] => {
    return { step: "done", result: { warnings: [], frame: { number, of: 3 } } as unknown as Result };
  };
  const strip = after(add("b.dcm"), { type: "progress", id: 1, model: null, progress: done(1) });
  expect(strip.photographs.map(nameOf)).toEqual(["b.dcm · 1/3", "b.dcm · 2/3", "b.dcm · 3/3"]);
  expect(strip.screen).toBe("worklist");
  expect(nextToSend(strip)).toMatchObject({ id: 2, frame: { number: 2, of: 3 } });
  const again = reduceStrip(strip, { type: "progress", id: 2, model: null, progress: done(2) });
  expect(again.photographs).toHaveLength(3);
  const removed = reduceStrip(again, { type: "remove", id: 1 });
  expect(reduceStrip(removed, { type: "undo" }).photographs.map(({ id }) => id)).toEqual([1, 2, 3]);
  const among = after(add("b.dcm"), add("a.jpg"), { type: "progress", id: 1, model: null, progress: done(1) });
  expect(among.screen).toBe("viewer");
  expect(seen(among)).toBe("a.jpg");
});

test("a file of one photograph keeps its name", () => {
  const result = { warnings: [], frame: { number: 1, of: 1 } } as unknown as Result;
  const strip = after(add("b.dcm"), { type: "progress", id: 1, model: null, progress: { step: "done", result } });
  expect(strip.photographs.map(nameOf)).toEqual(["b.dcm"]);
  expect(strip.screen).toBe("viewer");
});

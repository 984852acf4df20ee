import { expect, test } from "vitest";

import { EMPTY, nextToSend, type Result, reduceStrip, type Strip, type StripAction } from "@/lib/strip";

const PHOTOGRAPHS: StripAction = { type: "add", files: ["a", "b"].map((name) => new File([], name)) };

function after(...actions: StripAction[]): Strip {
  return actions.reduce(reduceStrip, EMPTY);
}

function done(id: number, model: string | null): StripAction {
  const result = { warnings: [], frame: null, model } as unknown as Result;
  return { type: "progress", id, model, progress: { step: "done", result } };
}

function told({ photographs }: Strip): unknown[] {
  return photographs.map(({ model, progress, thresholds }) => [model, progress.step, thresholds]);
}

const ANALYSED = after(PHOTOGRAPHS, done(1, null), done(2, null), {
  type: "thresholds",
  id: 1,
  thresholds: { "": 0.3 },
});

test("another model analyses a photograph again, at its own threshold, and those that come", () => {
  const asked = reduceStrip(ANALYSED, { type: "ask", id: 1, model: "two" });
  expect(told(asked)).toEqual([
    ["two", "waiting", {}],
    [null, "done", {}],
  ]);
  expect(nextToSend(asked)).toMatchObject({ id: 1, model: "two" });
  expect(
    told(reduceStrip(asked, PHOTOGRAPHS))
      .map((one) => (one as unknown[])[0])
      .toSorted(),
  ).toEqual(["two", null, "two", "two"].toSorted());
});

test("what the model before had found comes back, without being analysed again", () => {
  for (const back of [{ type: "undo" }, { type: "ask", id: "all", model: null }] as const) {
    const asked = reduceStrip(ANALYSED, { type: "ask", id: "all", model: "two" });
    const again = reduceStrip(reduceStrip(asked, done(1, "two")), back);
    expect(told(again)).toEqual(told(ANALYSED));
    expect([again.model, again.undo]).toEqual([null, []]);
  }
});

test("what comes back was not under way before", () => {
  const working: StripAction = { type: "progress", id: 1, model: null, progress: { step: "working", sent: 1 } };
  const asked = after(PHOTOGRAPHS, working, { type: "ask", id: 1, model: "two" });
  expect(told(reduceStrip(asked, { type: "undo" }))[0]).toEqual([null, "waiting", {}]);
});

test("the answer of a model that is not asked any more is dropped", () => {
  const asked = reduceStrip(ANALYSED, { type: "ask", id: 1, model: "two" });
  expect(reduceStrip(asked, done(1, null))).toBe(asked);
});

test("a model that all have already changes nothing but for those that come", () => {
  const asked = reduceStrip(EMPTY, { type: "ask", id: "all", model: "two" });
  expect(asked).toEqual({ ...EMPTY, model: "two" });
  expect(reduceStrip(ANALYSED, { type: "ask", id: "all", model: null })).toEqual(ANALYSED);
});

test("thresholds are given to photographs of the same model", () => {
  const mixed = reduceStrip(ANALYSED, { type: "ask", id: 2, model: "two" });
  const applied = reduceStrip(mixed, { type: "apply", model: null, thresholds: { "": 0.7 } });
  expect(applied.photographs.map(({ thresholds }) => thresholds)).toEqual([{ "": 0.7 }, {}]);
});

import { expect, test } from "vitest";

import { correctedBy, correctionFor } from "@/lib/corrected";
import { ERASED, PAINTED } from "@/lib/correctionMarks";
import { isKept, type Kept, keptOf, sameKept } from "@/lib/kept";
import { EMPTY, type Photograph, type Result, reduceStrip } from "@/lib/strip";

const RESULT = {
  map: new Blob(["a map"]),
  warnings: [],
  counts: null,
  classes: [],
  threshold: 0.5,
} as unknown as Result;

function added(...names: string[]): readonly Photograph[] {
  const files = names.map((name) => new File(["a photograph"], name));
  return reduceStrip(EMPTY, { type: "add", files }).photographs;
}

test("kept is what can't be made again; what was under way is sent again", () => {
  const [one] = added("a.jpg");
  const done: Photograph = {
    ...one!,
    key: "k",
    thumbnail: "blob:1",
    cover: { of: "0.5", masks: ["blob:2"], shares: null },
    progress: { step: "done", result: RESULT },
    thresholds: { "": 0.3 },
  };
  const { id, key, thumbnail, cover, corrected, ...same } = done;
  const rest = { ...same, correction: null };
  expect(keptOf(done)).toEqual(rest);
  expect(keptOf({ ...done, progress: { step: "working", sent: 0.5 } }).progress).toEqual({ step: "waiting" });
  expect(isKept(keptOf(done))).toBe(true);
  for (const broken of [null, {}, { ...rest, file: "a.jpg" }, { ...rest, progress: { step: "done", result: {} } }])
    expect(isKept(broken)).toBe(false);
});

test("what has not changed is not written again: progress of a photograph, its copies; what else it gets is", () => {
  const [one] = added("a.jpg");
  const working = (sent: number): Photograph => ({ ...one!, progress: { step: "working", sent } });
  expect(sameKept(keptOf(working(0.1)), keptOf({ ...working(0.9), thumbnail: "blob:1" }))).toBe(true);
  expect(sameKept(keptOf(one!), keptOf({ ...one!, thresholds: {} }))).toBe(false);
  const corrected = { ...keptOf(one!), corrected: {} } as Kept;
  expect(sameKept(keptOf(one!), corrected)).toBe(false);
  expect(sameKept(corrected, { ...corrected })).toBe(true);
});

test("what was kept comes back beside what was added meanwhile, in its order, and only once", () => {
  const kept = new Map(added("eye-10.jpg", "eye-2.jpg").map((one, at) => [`key-${at}`, keptOf(one)]));
  const meanwhile = reduceStrip(EMPTY, { type: "add", files: [new File([""], "eye-3.jpg")] });
  const back = reduceStrip(meanwhile, { type: "restore", kept, sort: "name" });
  expect(back.photographs.map(({ file }) => file.name)).toEqual(["eye-2.jpg", "eye-3.jpg", "eye-10.jpg"]);
  expect(new Set(back.photographs.map(({ id }) => id)).size).toBe(3);
  expect(back.selected).toBe(1);
  expect(back.screen).toBe("worklist");
  const again = reduceStrip(back, { type: "restore", kept, sort: "state" });
  expect(again.photographs).toHaveLength(3);
  expect(again.sort).toBe("state");
  expect(reduceStrip(back, { type: "clear" })).toMatchObject({ photographs: [], selected: null, undo: [] });
});

test("a correction is kept as plain data and comes back as it was; what was kept before has none", () => {
  const result = { ...RESULT, width: 70, height: 3 } as Result;
  const correction = correctionFor(result);
  correction.attach([{ width: 70, height: 3, values: new Uint8Array(210) }], null);
  correction.begin();
  correction.mark([{ row: 1, from: 60, to: 70 }], 0, PAINTED);
  correction.mark([{ row: 2, from: 0, to: 2 }], 0, ERASED);
  correction.end();
  const [one] = added("a.jpg");
  const done: Photograph = { ...one!, progress: { step: "done", result }, corrected: correctedBy(correction) };
  const kept = structuredClone({ ...keptOf(done), progress: null });
  const back = (correction: Kept["correction"]) => {
    const all = new Map([["k", { ...keptOf(done), correction } as Kept]]);
    return reduceStrip(EMPTY, { type: "restore", kept: all, sort: "name" }).photographs[0]!;
  };
  const { corrected, ...rest } = back(kept.correction);
  expect([...corrected!.correction.marks.runs()]).toEqual([...correction.marks.runs()]);
  expect(corrected!.some).toBe(true);
  expect(keptOf({ ...rest, corrected }).correction).toEqual(keptOf(done).correction);
  expect(sameKept(keptOf({ ...done }), keptOf(done))).toBe(true);
  expect(back(undefined).corrected).toBeNull();
});

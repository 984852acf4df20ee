import { expect, test } from "vitest";

import { vesselShares } from "@/lib/cover";
import type { Quality } from "@/lib/quality";
import { distinct, requestsFor } from "@/lib/saveAll";
import { DEFAULTS } from "@/lib/settings";
import { EMPTY, type Photograph, type Result, reduceStrip } from "@/lib/strip";
import { coverKey, sharesOf, sortedBy, stateOf, tallyOf } from "@/lib/worklist";
import { zipEntries, zipOf } from "@/lib/zip";

/** Ten pixels, one of each of 25, 50 … 250. */
const COUNTS = Array.from({ length: 256 }, (_, byte) => Number(byte > 0 && byte % 25 === 0));

const RESULT = {
  classes: [],
  threshold: 0.5,
  counts: COUNTS,
  warnings: [],
  quality: null,
  width: 5,
  height: 2,
  model: "my fundus 1.2.0",
} as unknown as Result;

function photograph(id: number, name: string, change: Partial<Photograph> = {}, result = RESULT): Photograph {
  const [bare] = reduceStrip(EMPTY, { type: "add", files: [new File([new Uint8Array(9)], name)] }).photographs;
  return { ...bare!, id, progress: { step: "done", result }, ...change };
}

const failed = {
  progress: { step: "failed", trouble: { cause: "FieldOfViewError", said: "", remedy: null } },
} as const;
const doubtful = { ...RESULT, warnings: ["It looks blurred."] };
const names = (photographs: readonly Photograph[]) => photographs.map(({ file }) => file.name);

test("photographs are sorted by name as people do, by density and by what needs a person", () => {
  const all = [
    photograph(1, "eye-10", { thresholds: { "": 0.1 } }),
    photograph(2, "eye-2"),
    photograph(3, "Eye-3", failed),
    photograph(4, "eye-1", { thresholds: { "": 0.9 } }, doubtful),
  ];
  expect(names(sortedBy("name", all))).toEqual(["eye-1", "eye-2", "Eye-3", "eye-10"]);
  expect(names(sortedBy("density", all))).toEqual(["eye-10", "eye-2", "eye-1", "Eye-3"]);
  expect(names(sortedBy("state", all))).toEqual(["Eye-3", "eye-1", "eye-2", "eye-10"]);
  expect(tallyOf(all)).toEqual({ all: 4, done: 3, attention: 2 });
  expect(all.map(stateOf)).toEqual(["done", "done", "failed", "check"]);
});

test("what is not good enough for figures comes before what is usable with care", () => {
  const judged = (id: number, name: string, verdict: Quality["verdict"]) =>
    photograph(id, name, {}, { ...RESULT, quality: { verdict, reasons: [] } });
  const all = [judged(1, "a", "good"), judged(2, "b", "usable"), judged(3, "c", "reject")];
  expect(names(sortedBy("state", all))).toEqual(["c", "b", "a"]);
  expect(all.map(stateOf)).toEqual(["done", "check", "check"]);
});

test("photographs of files of several are asked for by their place in these", () => {
  const series = [1, 2].map((number) => photograph(number, "series.dcm", { frame: { number, of: 2 } }));
  const asked = requestsFor([...series, photograph(3, "eye.jpg"), photograph(4, "eye-2.jpg")], DEFAULTS);
  expect(asked.map(({ query, members }) => [query.frame, members.length])).toEqual([
    ["1", 1],
    ["2", 1],
    [undefined, 2],
  ]);
});

test("a density is that of the photograph's own threshold; of several classes that of the cover for it", () => {
  expect(sharesOf(photograph(1, "a"))).toEqual([0.5]);
  expect(sharesOf(photograph(1, "a", { thresholds: { "": 0.9 } }))).toEqual([0.1]);
  expect(sharesOf(photograph(1, "a", failed))).toBeNull();
  const classes = [{ name: "vein", colour: "#000000", threshold: 0.4 }];
  const result = { ...RESULT, classes, counts: null };
  const cover = { of: coverKey({ model: null, corrected: null }, [{ threshold: 0.4 }]), masks: [], shares: [0.2] };
  expect(sharesOf(photograph(1, "a", { cover }, result))).toEqual([0.2]);
  expect(sharesOf(photograph(1, "a", { cover, thresholds: { vein: 0.5 } }, result))).toBeNull();
});

test("photographs of the same threshold go in one request, as many as it may hold", () => {
  const many = Array.from({ length: 40 }, (_, id) =>
    photograph(id, `${id}`, id % 2 ? { thresholds: { "": 0.3 } } : {}),
  );
  const requests = requestsFor([...many, photograph(50, "f", failed)], DEFAULTS);
  expect(requests.map(({ query, members }) => [query.threshold, members.length])).toEqual([
    ["0.5", 16],
    ["0.3", 16],
    ["0.5", 4],
    ["0.3", 4],
  ]);
});

test("files of one name get numbers, also where only the case of letters differs", () => {
  const entries = ["OD-mask.png", "od-mask.png", "OD-mask.png", "x"].map((name) => ({
    name,
    crc: 0,
    content: new Blob(),
  }));
  expect(distinct(entries).map(({ name }) => name)).toEqual(["OD-mask.png", "od-mask (2).png", "OD-mask (3).png", "x"]);
});

test("what is put into a ZIP file comes out of it; nothing else is read", async () => {
  const entries = [
    { name: "患者.png", crc: 0xfedcba98, content: new Blob(["some bytes"]) },
    { name: "empty", crc: 0, content: new Blob() },
  ];
  const found = await zipEntries(zipOf(entries));
  expect(found.map(({ name, crc }) => [name, crc])).toEqual(entries.map(({ name, crc }) => [name, crc]));
  expect(await found[0]!.content.text()).toBe("some bytes");
  expect(found[1]!.content.size).toBe(0);
  await expect(zipEntries(new Blob(["no ZIP file at all, but long"]))).rejects.toThrow("not a ZIP");
});

test("a reduced pixel is as opaque as the share of vessel below it", async () => {
  const values = Uint8Array.from([200, 200, 0, 0, 200, 0, 0, 130]);
  const map = { width: 4, height: 2, values };
  expect(await vesselShares({ maps: [map], exclusive: false }, [128], { width: 2, height: 1 })).toEqual([
    Uint8Array.of(191, 64),
  ]);
  const other = { ...map, values: Uint8Array.from([210, 0, 0, 0, 0, 0, 0, 0]) };
  expect(await vesselShares({ maps: [map, other], exclusive: true }, [128, 128], { width: 2, height: 1 })).toEqual([
    Uint8Array.of(128, 64),
    Uint8Array.of(64, 0),
  ]);
});

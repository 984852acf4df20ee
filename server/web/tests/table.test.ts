import { afterEach, expect, test, vi } from "vitest";

import { correctedBy, correctionFor } from "@/lib/corrected";
import { PAINTED } from "@/lib/correctionMarks";
import { measureAll, measuredOf, reasonsOf, thresholdOf } from "@/lib/measurements";
import { EMPTY, type Photograph, type Result, reduceStrip } from "@/lib/strip";
import { tableOf } from "@/lib/table";
import { coverKey } from "@/lib/worklist";

const RESULT = {
  classes: [],
  threshold: 0.5,
  counts: Array.from({ length: 256 }, (_, byte) => Number(byte > 0 && byte % 25 === 0)), // a tenth for each 25
  warnings: [],
  quality: null,
  width: 5,
  height: 2,
  model: "my fundus 1.2.0",
  device: "cpu",
  precision: "int8",
} as unknown as Result;
const CLASSES = ["artery", "vein"].map((name) => ({ name, colour: "#000000", threshold: 0.4 }));

function photograph(id: number, name: string, change: Partial<Photograph> = {}, result = RESULT): Photograph {
  const [bare] = reduceStrip(EMPTY, { type: "add", files: [new File([new Uint8Array(9)], name)] }).photographs;
  return { ...bare!, id, progress: { step: "done", result }, ...change };
}

const failed = {
  progress: { step: "failed", trouble: { cause: "FieldOfViewError", said: "", remedy: null } },
} as const;
const DOCUMENT = {
  fields_of_view: [{ diameter: 894, scale: "found" }],
  measurements: {
    um_per_px: null,
    figures: { density: 0.25, length_px: 17.5, length_um: null, curvature_per_mm: null },
    reasons: { length_um: "the scale is not known", curvature_per_mm: "the scale is not known" },
  },
};

/** The answers of a server, one after the other; the last one for ever. Returns what it was asked. */
function answering(...answers: (readonly [status: number, body: unknown])[]): URL[] {
  const asked: URL[] = [];
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async (address: string, { signal }: RequestInit) => {
    signal?.throwIfAborted();
    asked.push(new URL(address, "http://server/"));
    const [status, body] = answers.length > 1 ? answers.shift()! : answers[0]!;
    return Response.json(body, { status });
  });
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

test("the table has a row for each, escapes what is no plain text, and lets no spreadsheet compute", () => {
  const doubtful = {
    ...RESULT,
    warnings: ["It is blurred."],
    quality: { verdict: "usable", reasons: ["blurred", "cut"] },
  };
  const all = [
    photograph(1, '=a,"b".jpg'),
    photograph(2, "c.jpg", failed),
    photograph(3, "d.jpg", { thresholds: { "": 0.9 } }, doubtful as Result),
  ];
  expect(tableOf(all)).toBe(
    "\ufefffile,state,width,height,model,model_version,device,precision,threshold,corrected,density," +
      "reasons,quality,quality_reasons,warnings,error\r\n" +
      '"\'=a,""b"".jpg",done,5,2,my fundus,1.2.0,cpu,int8,0.5,,0.5,,,,,\r\n' +
      "c.jpg,failed,,,,,,,,,,,,,,No retina could be found\r\n" +
      "d.jpg,check,5,2,my fundus,1.2.0,cpu,int8,0.9,,0.1,,usable,blurred cut,It is blurred.,\r\n",
  );
});

test("several classes have a column each, and what is not counted is empty, with the reason", () => {
  const result = { ...RESULT, classes: CLASSES, counts: null };
  const of = coverKey({ model: null, corrected: null }, CLASSES);
  const cover = { of, masks: [], shares: [0.125, 0.25] };
  const [head, counted, not] = tableOf([photograph(1, "a", { cover }, result), photograph(2, "b", {}, result)]).split(
    "\r\n",
  );
  expect(head).toContain(",threshold,corrected,artery_density,vein_density,reasons,");
  expect(counted).toContain(',"artery:0.4,vein:0.4",,0.125,0.25,,');
  expect(not).toContain(',"artery:0.4,vein:0.4",,,,artery_density vein_density: its pixels are not counted yet,');
});

test("figures stand in the table, and what can't be had is empty with its reason, never 0", async () => {
  const asked = answering([200, DOCUMENT], [500, { error: { type: "InternalError", message: "It broke." } }]);
  const all = [photograph(1, "a", { thresholds: { "": 0.3 } }), photograph(2, "b"), photograph(3, "c", failed)];
  const counts: number[] = [];
  const measured = await measureAll(all, (count) => counts.push(count), new AbortController().signal);
  expect(counts).toEqual([1, 2]);
  expect(asked.map(({ search }) => search)).toEqual([
    "?format=json&measure=true&threshold=0.3",
    "?format=json&measure=true&threshold=0.5",
  ]);
  const [head, ...rows] = tableOf(all, measured)
    .split("\r\n")
    .map((line) => line.split(","));
  const cell = (row: number, name: string) => rows[row]![head!.indexOf(name)];
  const names = ["field_diameter_px", "scale", "um_per_px", "density", "length_px", "length_um", "reasons"];
  expect(names.map((name) => cell(0, name))).toEqual([
    ...["894", "found", "", "0.25", "17.5", "", "length_um curvature_per_mm: the scale is not known"],
  ]);
  expect(names.map((name) => cell(1, name))).toEqual(["", "", "", "0.5", "", "", "It broke."]);
  expect(cell(2, "error")).toBe("No retina could be found");
});

test("what was measured is not asked for again, unless the threshold or the correction is another one", async () => {
  const asked = answering([200, DOCUMENT]);
  const one = photograph(1, "a");
  const { signal } = new AbortController();
  expect(measuredOf(one)).toBeNull();
  await measureAll([one], () => undefined, signal);
  await measureAll([one], () => undefined, signal);
  expect(asked).toHaveLength(1);
  expect(measuredOf(one)).toEqual(DOCUMENT);
  const moved = { ...one, thresholds: { "": 0.7 } };
  expect(measuredOf(moved)).toBeNull();
  await measureAll([moved], () => undefined, signal);
  expect(asked).toHaveLength(2);
  const correction = correctionFor(RESULT);
  correction.attach([{ width: 5, height: 2, values: new Uint8Array(10) }], null);
  correction.begin();
  correction.mark([{ row: 1, from: 0, to: 2 }], 0, PAINTED);
  correction.end();
  const corrected = { ...moved, corrected: correctedBy(correction) };
  expect(measuredOf(corrected)).toBeNull();
  await measureAll([corrected], () => undefined, signal);
  expect(asked).toHaveLength(3);
  expect(measuredOf(corrected)).toEqual(DOCUMENT);
  expect(tableOf([corrected])).toContain(",0.7,yes,");
});

test("a server that can't measure is asked once, and its sentence is the reason", async () => {
  const message = "measuring vessels needs packages that are not installed. Run: pip install 'vesselrt[measure]'";
  const asked = answering([501, { error: { type: "MissingExtraError", message } }]);
  const all = [photograph(1, "a"), photograph(2, "b")];
  const measured = await measureAll(all, () => undefined, new AbortController().signal);
  expect(asked).toHaveLength(1);
  expect([...measured.values()]).toEqual([{ why: message }, { why: message }]);
  expect(tableOf(all, measured).match(/0\.5,measuring vessels needs packages/g)).toHaveLength(2);
});

test("who stops it is not told of an error, and nothing more is asked", async () => {
  const asked = answering([200, DOCUMENT]);
  const stop = new AbortController();
  const all = [photograph(1, "a"), photograph(2, "b")];
  const done = measureAll(all, () => stop.abort(), stop.signal);
  await expect(done).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
  expect(asked).toHaveLength(1);
});

test("thresholds are told as the server takes them, and reasons as the command line tells them", () => {
  expect(thresholdOf(photograph(1, "a"))).toBe("0.5");
  expect(thresholdOf(photograph(1, "a", { thresholds: { vein: 0.7 } }, { ...RESULT, classes: CLASSES }))).toBe(
    "artery:0.4,vein:0.7",
  );
  expect(reasonsOf(DOCUMENT)).toBe("length_um curvature_per_mm: the scale is not known");
});

test("the table says which photograph of its file a row is of, where a file has several", async () => {
  const asked = answering([200, DOCUMENT]);
  const one = photograph(1, "eye.jpg");
  const second = photograph(2, "series.dcm", { frame: { number: 2, of: 3 } }, { ...RESULT });
  expect(tableOf([one])).not.toContain("frame");
  expect(tableOf([one, second])).toContain("file,frame,state,width");
  expect(tableOf([one, second])).toContain("series.dcm,2,done,5");
  await measureAll([second], () => undefined, new AbortController().signal);
  expect(asked[0]!.searchParams.get("frame")).toBe("2");
});

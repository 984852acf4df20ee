import { expect, test } from "vitest";

import type { Gauge } from "@/lib/gauge";
import { gaugeTableOf } from "@/lib/gaugeTable";
import { CATALOGUES } from "@/lib/messages";
import { greyPng } from "@/lib/png";
import { measuredText, readingsOf, readingText, scaleOf } from "@/lib/readings";
import { DEFAULTS } from "@/lib/settings";
import { EMPTY, type Photograph, type Result, reduceStrip } from "@/lib/strip";

const SIZE = { width: 64, height: 48 };
const GAUGES: readonly Gauge[] = [
  { number: 1, kind: "length", from: { x: 4, y: 5 }, to: { x: 34, y: 45 } },
  { number: 3, kind: "width", from: { x: 30.2, y: 21 }, to: { x: 30.2, y: 21 } },
  { number: 4, kind: "rectangle", from: { x: 0, y: 10 }, to: { x: 32, y: 30 } },
  { number: 5, kind: "width", from: { x: 60, y: 5 }, to: { x: 60, y: 5 } },
];

/** A photograph with a horizontal vessel, 200 in the rows 20 to 23, and 100 in the one above and the one below. */
async function photograph(change: Partial<Photograph> = {}, result: Partial<Result> = {}): Promise<Photograph> {
  const rows = new Uint8Array((SIZE.width + 1) * SIZE.height);
  for (let y = 19; y <= 24; y++) rows.fill(y > 19 && y < 24 ? 200 : 100, y * 65 + 1, (y + 1) * 65);
  const map = await greyPng(SIZE, rows);
  const [bare] = reduceStrip(EMPTY, { type: "add", files: [new File([map], "=eye.jpg")] }).photographs;
  const done = { ...SIZE, map, classes: [], exclusive: false, outlines: [], counts: null, threshold: 0.5, ...result };
  return { ...bare!, progress: { step: "done", result: done as unknown as Result }, gauges: GAUGES, ...change };
}

const lines = async (...all: Photograph[]) => (await gaugeTableOf(all, DEFAULTS)).slice(1).trimEnd().split("\r\n");

test("the table has a row for each, with what it reads at the photograph's own threshold, in µm where the scale is told", async () => {
  expect(await lines(await photograph({ umPerPx: 7.5 }))).toEqual([
    "file,frame,number,kind,class,x1,y1,x2,y2,length_px,length_um,density,um_per_px,threshold,corrected",
    "'=eye.jpg,,1,ruler,,4,5,34,45,50,375,,7.5,0.5,",
    // Between 100 and 200 the edge lies .725 of a pixel beyond the middles of the first and the last row.
    expect.stringMatching(/^'=eye.jpg,,3,calliper,,30.5,[\d.]+,30.5,[\d.]+,4.45,33.38,,7.5,0.5,$/),
    "'=eye.jpg,,4,rectangle,,0,10,32,30,,,0.2,7.5,0.5,",
    "'=eye.jpg,,5,calliper,,60,5,60,5,,,,7.5,0.5,",
  ]);
  const lower = await lines(await photograph({ thresholds: { "": 0.3 } }));
  expect(lower[3]).toBe("'=eye.jpg,,4,rectangle,,0,10,32,30,,,0.3,,0.3,");
  expect(await lines(await photograph({ gauges: [] }))).toHaveLength(1);
});

test("the field of view is that of the outlines", async () => {
  const outline = [
    { x: 0, y: 20 },
    { x: 9, y: 20 },
    { x: 9, y: 35 },
    { x: 0, y: 35 },
  ];
  const [, , , region] = await lines(await photograph({}, { outlines: [outline] }));
  expect(region).toContain(",0.4,"); // of the rows 20 to 29 four
});

test("a person's scale goes before the file's, and without either there is none", async () => {
  const told = await photograph({}, { umPerPx: 6 });
  expect([scaleOf(told), scaleOf({ ...told, umPerPx: 8 }), scaleOf(await photograph())]).toEqual([6, 8, null]);
  const waiting: Photograph = { ...told, progress: { step: "waiting" } };
  expect([scaleOf(waiting), await readingsOf(waiting, DEFAULTS)]).toEqual([null, []]);
});

test("figures have their units, and what has none its reason", async () => {
  const { en, de } = CATALOGUES;
  const layers = [{ name: "", threshold: 0.5, colour: "#000000", shown: true }];
  const readings = await readingsOf(await photograph(), DEFAULTS);
  const texts = readings.map(([, reading]) => readingText(reading, layers, 7.5, en));
  expect(texts).toEqual(["50.0 px · 375 µm", "4.5 px · 33 µm", "20.0 %", "No vessel here at this threshold"]);
  expect(readingText(readings[0]![1], layers, null, de)).toBe("50,0\u00a0px");
  expect(readingText({ kind: "ellipse", shares: null }, layers, null, en)).toBe("Outside of the field of view");
  expect(readingText(undefined, layers, null, en)).toBe("");
  const classes = ["artery", "vein"].map((name) => ({ ...layers[0]!, name }));
  expect(readingText({ kind: "ellipse", shares: [0.1, 0.05] }, classes, null, en)).toBe("artery 10.0 % · vein 5.0 %");
  expect(measuredText(readings.slice(0, 2), layers, null, en)).toBe("Ruler 1: 50.0 px; Width 3: 4.5 px");
});

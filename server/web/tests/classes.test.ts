import { expect, test } from "vitest";

import { queryOf } from "@/lib/api";
import { cutsOf, densities } from "@/lib/classes";
import { mapsOf } from "@/lib/decoded";
import { chosen, DEFAULTS, layersOf, moved, sameThresholds, type Thresholds } from "@/lib/settings";

const RESULT = {
  threshold: 0.5,
  classes: [
    { name: "artery", colour: "#ff2e63", threshold: 0.5 },
    { name: "vein", colour: "#4db2ff", threshold: 0.4 },
  ],
};
// One below the other, as the server sends them.
const STACK = { width: 2, height: 4, values: Uint8Array.from([200, 130, 0, 110, 210, 130, 103, 0]) };
const MAPS = mapsOf(STACK, 2);

test("a model of one class has one layer, with the photograph's threshold", () => {
  const [layer, ...others] = layersOf({ classes: [], threshold: 0.6 }, { "": 0.3 }, DEFAULTS);
  expect(layer).toEqual({ name: "", threshold: 0.3, colour: DEFAULTS.colour, shown: true });
  expect(others).toEqual([]);
  expect(layersOf({ classes: [], threshold: 0.6 }, {}, DEFAULTS)[0]?.threshold).toBe(0.6);
  const query = queryOf({ layers: [layer!], opacity: 0.5 });
  expect(query).toEqual({ threshold: "0.3", colour: DEFAULTS.colour, opacity: "0.5" });
});

test("of several classes each has the model's colour and threshold until another is chosen", () => {
  let settings = { ...DEFAULTS, ...chosen(DEFAULTS, "vein", { colour: "#00ff00" }) };
  settings = { ...settings, ...chosen(settings, "artery", { hidden: true }) };
  const layers = layersOf(RESULT, { vein: 0.7 }, settings);
  expect(layers).toEqual([
    { name: "artery", colour: "#ff2e63", threshold: 0.5, shown: false },
    { name: "vein", colour: "#00ff00", threshold: 0.7, shown: true },
  ]);
  const query = { threshold: "artery:0.5,vein:0.7", colour: "artery:#ff2e63,vein:#00ff00", opacity: "0.5" };
  expect(queryOf({ layers, opacity: 0.5 })).toEqual({ ...query, classes: "vein" });
  expect(queryOf({ layers, opacity: 0.5 }, "artery")).toEqual({ ...query, classes: "artery" });
});

test("keys move the thresholds of what is shown, and reset them", () => {
  const hidden = { ...DEFAULTS, ...chosen(DEFAULTS, "artery", { hidden: true }) };
  const layersAt = (thresholds: Thresholds) => layersOf(RESULT, thresholds, hidden);
  const after = moved({ artery: 0.6 }, layersAt({ artery: 0.6 }), -0.1);
  expect(after).toEqual({ artery: 0.6, vein: 0.3 });
  expect(moved(after, layersAt(after), null)).toEqual({ artery: 0.6 });
  expect(moved({}, layersOf(null, {}, DEFAULTS), 0.1)).toEqual({ "": 0.6 });
  expect(moved({ "": 0.6 }, layersOf(null, { "": 0.6 }, DEFAULTS), null)).toEqual({});
  expect(sameThresholds({ vein: 0.3 }, { vein: 0.3 })).toBe(true);
  expect(sameThresholds({ vein: 0.3 }, {})).toBe(false);
});

test("the maps lie one below the other", () => {
  expect(MAPS.map(({ width, height, values }) => [width, height, [...values]])).toEqual([
    [2, 2, [200, 130, 0, 110]],
    [2, 2, [210, 130, 103, 0]],
  ]);
});

test("densities are counted by the rule of the library: each class for itself, or one class for a pixel", async () => {
  const layers = layersOf(RESULT, {}, DEFAULTS); // cuts 128 and 102
  expect(cutsOf(layers, false)).toEqual([128, 102]);
  const all = new Uint8Array(4).fill(1);
  expect(await densities({ maps: MAPS, exclusive: false }, layers, all)).toEqual([0.5, 0.75]);
  expect(await densities({ maps: MAPS, exclusive: true }, layers, all)).toEqual([0.25, 0.5]);
  expect(await densities({ maps: MAPS, exclusive: false }, layers, Uint8Array.of(0, 1, 1, 0))).toEqual([0.5, 1]);
});

test("a class that is switched off is not seen; where classes exclude each other it still takes its pixels", () => {
  const layers = layersOf(RESULT, {}, { ...DEFAULTS, ...chosen(DEFAULTS, "vein", { hidden: true }) });
  expect(cutsOf(layers, false)).toEqual([128, 256]);
  expect(cutsOf(layers, true)).toEqual([128, 102]);
});

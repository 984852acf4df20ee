import type { ReactNode } from "react";
import { describe, expect, test } from "vitest";

import { LANGUAGES, type Language } from "@/lib/languages";
import { CATALOGUES } from "@/lib/messages";

type Entry = string | ((...args: never[]) => unknown) | Catalogue;
type Catalogue = { readonly [name: string]: Entry };

/** Every entry that is no group, by its path. */
function entriesOf(catalogue: Catalogue, path = ""): [string, Exclude<Entry, Catalogue>][] {
  return Object.entries(catalogue).flatMap(([name, entry]) =>
    typeof entry === "object" ? entriesOf(entry, `${path}${name}.`) : [[path + name, entry]],
  );
}

const ENGLISH = new Map(entriesOf(CATALOGUES.en as unknown as Catalogue));
const OTHERS = (Object.keys(LANGUAGES) as Language[]).filter((language) => language !== "en");
/** The same in both languages, which chance may bring about, or a name: "Original", "Zoom", "DICOM". */
const ALIKE =
  /^(view\.original|viewer\.(label\.original|zoom)|print\.original|panel\.colours\.magenta|size|help\.keys\..*|worklist\.by\.name|gauge\.kinds\.ellipse|place)$/;
const COUNTS = [0, 1, 2, 3, 10, 11, 21, 100, 101, 1_000_000];

test("English is as ever: milliseconds below a second, tenths of a second above", () => {
  expect([0.4, 38.6, 999, 1000, 1540, 61_234].map(CATALOGUES.en.duration)).toEqual([
    "0 ms",
    "39 ms",
    "999 ms",
    "1.0 s",
    "1.5 s",
    "61.2 s",
  ]);
});

describe.each(OTHERS)("%s", (language) => {
  const own = new Map(entriesOf(CATALOGUES[language] as unknown as Catalogue));

  test("it has what English has, translated, and nothing else", () => {
    expect([...own.keys()].sort()).toEqual([...ENGLISH.keys()].sort());
    for (const [path, english] of ENGLISH) expect([path, typeof own.get(path)]).toEqual([path, typeof english]);
    const same = [...own].filter(([path, entry]) => entry === "" || (entry === ENGLISH.get(path) && !ALIKE.test(path)));
    expect(same).toEqual([]);
  });

  test("every count has its form, and what is told holds the count, or the noun's own form for it", () => {
    const { worklist, saveAll, undo, panel } = CATALOGUES[language];
    const told = [worklist.attention, ...Object.values(saveAll.saved), undo.applied, panel.warnings, panel.applyToAll];
    for (const count of COUNTS)
      for (const tell of told) if (typeof tell === "function") expect(tell(count)).not.toMatch(/undefined|NaN|^$/);
    const categories = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
    const forms = new Set(COUNTS.map((count) => saveAll.saved.mask(count).replace(/\d+/, "#")));
    if (categories.length > 1) expect(forms.size).toBeGreaterThan(1);
  });

  test("a sentence around a name holds it once", () => {
    const { undo, worklist, help, remove } = CATALOGUES[language];
    const parts = (node: ReactNode) => (node as ReactNode[]).filter((part) => part === "NAME");
    expect(parts(undo.removed("NAME"))).toHaveLength(1);
    expect(parts(worklist.tally("NAME"))).toHaveLength(1);
    expect(parts(help.licences(() => "NAME"))).toHaveLength(1);
    expect(remove("eye.jpg")).toContain("eye.jpg");
  });
});

test("figures are written as each language does", () => {
  const written = (language: Language) => {
    const { number, percent, duration } = CATALOGUES[language];
    return [number(0.5, 2), percent(0.1234), percent(undefined), percent(1, 0), duration(1540)];
  };
  expect(written("en")).toEqual(["0.50", "12.3 %", "– %", "100 %", "1.5 s"]);
  expect(written("de")).toEqual(["0,50", "12,3\u00a0%", "–\u00a0%", "100\u00a0%", "1,5\u00a0s"]);
  expect(written("zh")).toEqual(["0.50", "12.3%", "–%", "100%", "1.5 秒"]);
  expect(written("ar")).toEqual(["0.50", "12.3%", "–%", "100%", "1.5 ثانية"]);
});

test("Arabic has a form for one, two, some and many", () => {
  const { applied } = CATALOGUES.ar.undo;
  expect([1, 2, 3, 10, 11, 99, 100].map(applied)).toEqual([
    "تم تغيير عتبة صورة واحدة.",
    "تم تغيير عتبة صورتين.",
    "تم تغيير عتبة 3 صور.",
    "تم تغيير عتبة 10 صور.",
    "تم تغيير عتبة 11 صورة.",
    "تم تغيير عتبة 99 صورة.",
    "تم تغيير عتبة 100 صورة.",
  ]);
});

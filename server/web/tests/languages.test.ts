import { afterEach, expect, test, vi } from "vitest";

import { arrowWay, LANGUAGES, type Language, settleLanguage } from "@/lib/languages";

/** The document after its first script, where the browser wants these and keeps this. */
function settled(wanted: readonly string[], kept: string | null | Error = null) {
  const root = { lang: "en", dir: "ltr", dataset: {} };
  const getItem = () => {
    if (kept instanceof Error) throw kept;
    return kept;
  };
  vi.stubGlobal("document", { documentElement: root });
  vi.stubGlobal("navigator", { languages: wanted });
  vi.stubGlobal("localStorage", { getItem });
  // As it runs in the page: from its text, which may use nothing from around it.
  new Function(`(${settleLanguage})(${JSON.stringify(LANGUAGES)}, "key")`)();
  return root;
}

afterEach(() => vi.unstubAllGlobals());

test.each<[readonly string[], string | null, Language]>([
  [["de-AT", "en"], null, "de"],
  [["pt-BR", "es-419", "en"], null, "es"],
  [["zh-Hant-TW"], null, "zh"],
  [["ar-EG"], null, "ar"],
  [["fr", "ja"], null, "en"],
  [[], null, "en"],
  [["constructor"], "toString", "en"],
  [["de"], "ar", "ar"],
  [["de"], "fr", "de"],
])("a browser that wants %j and keeps %j is spoken to in %s", (wanted, kept, language) => {
  const translated = language === "en" ? {} : { untranslated: "" };
  expect(settled(wanted, kept)).toEqual({ lang: language, dir: LANGUAGES[language].dir, dataset: translated });
});

test("a browser that keeps nothing is no hindrance", () => {
  expect(settled(["es"], new Error("denied")).lang).toBe("es");
});

test("the arrow to the left goes on where the writing does", () => {
  settled(["en"]);
  expect(["ArrowLeft", "ArrowRight", "ArrowUp"].map(arrowWay)).toEqual([-1, 1, undefined]);
  settled(["ar"]);
  expect(["ArrowLeft", "ArrowRight", "ArrowUp"].map(arrowWay)).toEqual([1, -1, undefined]);
});

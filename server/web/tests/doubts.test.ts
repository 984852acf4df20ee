import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { DOUBTS, tellWarning } from "@/lib/messages/doubts";

test("the English sentences are the server's, word for word", () => {
  const source = readFileSync(new URL("../../../runtime/photo/quality.py", import.meta.url), "utf8");
  const joined = source.replaceAll(/"\n {4}"/g, "");
  for (const sentence of Object.values(DOUBTS.en)) expect(joined).toContain(`"${sentence}"`);
  const constants = joined.match(/^[A-Z]+ = \(?\s*"[^"]+\."/gm);
  expect(constants).toHaveLength(Object.keys(DOUBTS.en).length); // none of the server's is left out
});

test("a warning that the page doesn't know stays in English and says so", () => {
  expect(tellWarning(DOUBTS.en.dark, DOUBTS.de)).toEqual({ text: DOUBTS.de.dark });
  expect(tellWarning("Something new.", DOUBTS.de)).toEqual({ text: "Something new.", lang: "en" });
});

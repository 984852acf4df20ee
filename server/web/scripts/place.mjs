// Puts the built page where the server and the wheel find it, or into the folder that is named: what a browser asks for,
// nothing else of Next's export, and beside it the licences of all that is bundled.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../", import.meta.url));
const FROM = `${WEB}out/`;
const TO = process.argv[2] ?? fileURLToPath(new URL("../../static/page/", import.meta.url));
const CHUNKS = "_next/static/chunks/";
const FONT = "node_modules/@fontsource-variable/inter"; // style sheets tell nothing of the fonts that they name
const PREFIX = "https://relative.invalid/"; // that of next.config.ts
const LEGACY = /<script src="(_next\/static\/chunks\/[^"]+)" noModule=""><\/script>/;

/** The folders of the packages whose code the chunks hold, as their source maps tell. */
function bundled() {
  const sources = readdirSync(FROM + CHUNKS)
    .filter((name) => name.endsWith(".map"))
    .map((name) => JSON.parse(readFileSync(FROM + CHUNKS + name, "utf-8")))
    .flatMap((map) => (map.sections ? map.sections.flatMap((section) => section.map.sources) : map.sources));
  const folders = sources.flatMap(
    (source) => /node_modules\/(?:next\/dist\/compiled\/)?(?:@[^/]+\/)?[^/]+/.exec(source)?.[0] ?? [],
  );
  if (!folders.length) throw new Error(`no package is named in the source maps of ${FROM + CHUNKS}`);
  return [...new Set([...folders, FONT])].sort();
}

/** Name, version, licence and the licence's text of a package, which may be one that Next has taken in. */
function notice(folder) {
  const { version, license } = JSON.parse(readFileSync(`${WEB}${folder}/package.json`, "utf-8"));
  const name = folder.replace("node_modules/", "").replace("dist/compiled/", "");
  const file = readdirSync(WEB + folder).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  if (!file) throw new Error(`${folder} has no licence file: the page can't be shipped with it`);
  const title = [name, version, license && `(${license})`].filter(Boolean).join(" ");
  return `${title}\n\n${readFileSync(`${WEB}${folder}/${file}`, "utf-8").trim()}\n`;
}

/** The same with addresses that a browser reads from where the page is. */
function relative(text) {
  if (!text.includes(PREFIX)) throw new Error("the prefix of next.config.ts is not where addresses are");
  return text.replaceAll(PREFIX, "");
}

rmSync(TO, { recursive: true, force: true });
mkdirSync(TO, { recursive: true });
// Browsers that lack what this replaces lack WebGL 2 and the rest of what the page needs, too.
const index = relative(readFileSync(`${FROM}index.html`, "utf-8"));
const legacy = LEGACY.exec(index)?.[1];
if (!legacy || !existsSync(FROM + legacy)) throw new Error("Next's script for old browsers is not where it was");
cpSync(`${FROM}_next/static`, `${TO}_next/static`, {
  recursive: true,
  filter: (path) => !path.endsWith(".map") && path !== FROM + legacy,
});
for (const name of readdirSync(TO + CHUNKS)) {
  const text = readFileSync(TO + CHUNKS + name, "utf-8");
  if (text.includes(PREFIX)) writeFileSync(TO + CHUNKS + name, relative(text));
}
const rule = `\n${"-".repeat(80)}\n\n`;
writeFileSync(`${TO}licences.txt`, ["What the page is made with.\n", ...bundled().map(notice)].join(rule));
// Last: where it is, all is.
writeFileSync(`${TO}index.html`, index.replace(LEGACY, ""));

// Builds the page without a server: a folder that any server of static files can serve. The model runs in the browser.
// node scripts/offline.mjs FOLDER [MODEL.onnx]

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "vite";

const WEB = fileURLToPath(new URL("../", import.meta.url));
const RUNTIME = `${WEB}offline/node_modules/onnxruntime-web/`;
const RUNTIME_FILES = [
  "ort.wasm.min.mjs",
  "ort-wasm-simd-threaded.mjs",
  "ort-wasm-simd-threaded.wasm",
  "ort.webgpu.min.mjs",
  "ort-wasm-simd-threaded.asyncify.mjs",
  "ort-wasm-simd-threaded.asyncify.wasm",
];
const MANIFEST = "vesselrt.manifest";
const [folder, model = `${WEB}../../runtime/models/fundus.onnx`] = process.argv.slice(2);
const TO = `${resolve(folder)}/`;
// As in the runtime: a processor takes the file in INT8 where one lies beside. On a graphics card much of INT8 is missing.
const INT8 = model.replace(/\.onnx$/, ".int8.onnx");
const MODELS = { wasm: existsSync(INT8) ? INT8 : model, webgpu: model };

/** The manifest in a model file: a text behind its name, among the metadata of ONNX. */
function manifestIn(path) {
  const file = readFileSync(path);
  let place = file.lastIndexOf(MANIFEST) + MANIFEST.length;
  if (place < MANIFEST.length || file[place] !== 0x12) throw new Error(`${path} has no manifest: is it a model file?`);
  let [length, shift] = [0, 0];
  do {
    place++;
    length += (file[place] & 127) << shift;
    shift += 7;
  } while (file[place] & 128);
  return JSON.parse(file.subarray(place + 1, place + 1 + length).toString("utf-8"));
}

/** What the page needs of it. Throws for a model that lib/offline can't prepare photographs for. */
function described(path) {
  const { name, version, precision, threshold, preparation, tile, classes } = manifestIn(path);
  const { channels, field_of_view, clahe, normalise } = preparation;
  const fits = channels === "green" && Array.isArray(field_of_view) && !clahe && !normalise;
  if (!fits || tile.blend !== "exact" || tile.fixed || classes.length !== 1)
    throw new Error(`${path} wants a preparation, windows or classes that lib/offline does not know`);
  const needed = { preparation: { field_of_view }, tile: { multiple: tile.multiple } };
  return { file: basename(path), name, version, precision, threshold, ...needed };
}

/** What the page loads beside itself: the worker, ONNX Runtime and the models. Returns a name that changes with them. */
async function makeParts(parts) {
  await build({
    configFile: false,
    root: WEB,
    logLevel: "warn",
    resolve: { alias: { "@": WEB.slice(0, -1) } },
    build: {
      lib: { entry: `${WEB}lib/offline/worker.ts`, formats: ["es"], fileName: () => "worker.js" },
      outDir: parts,
      emptyOutDir: true,
      target: "es2022",
    },
  });
  mkdirSync(join(parts, "onnxruntime"));
  for (const name of RUNTIME_FILES) copyFileSync(`${RUNTIME}dist/${name}`, join(parts, "onnxruntime", name));
  const models = Object.entries(MODELS).map(([provider, path]) => [provider, described(path)]);
  writeFileSync(join(parts, "models.json"), JSON.stringify(Object.fromEntries(models)));
  for (const path of Object.values(MODELS)) copyFileSync(path, join(parts, basename(path)));
  const hash = createHash("sha256").update(version);
  for (const name of ["worker.js", "models.json", ...Object.values(MODELS).map((path) => basename(path))])
    hash.update(readFileSync(join(parts, name)));
  return hash.digest("hex").slice(0, 12);
}

/** Nothing but the folder's own files, and of inline scripts and styles those of the page: as server/page.py has it. */
function policyOf(page) {
  const hashes = (kind) =>
    [...page.matchAll(new RegExp(`<${kind}(?![^>]*\\bsrc=)[^>]*>(.*?)</${kind}>`, "gs"))]
      .map(([, text]) => ` 'sha256-${createHash("sha256").update(text).digest("base64")}'`)
      .join("");
  return (
    `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'${hashes("script")}; style-src 'self'${hashes("style")}; ` +
    "img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; " +
    "form-action 'none'"
  );
}

const { version } = JSON.parse(readFileSync(`${RUNTIME}package.json`, "utf-8"));
const parts = join(mkdtempSync(join(tmpdir(), "vesselrt-")), "parts"); // a folder that others may read
const name = await makeParts(parts);
const env = { ...process.env, OFFLINE: `offline/${name}`, NEXT_TELEMETRY_DISABLED: "1" };
execFileSync("npx", ["next", "build"], { cwd: WEB, env, stdio: "inherit" });
execFileSync("node", ["scripts/place.mjs", TO], { cwd: WEB, stdio: "inherit" });
cpSync(parts, `${TO}offline/${name}`, { recursive: true });
rmSync(dirname(parts), { recursive: true });

const licence = readFileSync(`${WEB}offline/onnxruntime.txt`, "utf-8"); // which its package lacks
appendFileSync(`${TO}licences.txt`, `\n${"-".repeat(80)}\n\nonnxruntime-web ${version} (MIT)\n\n${licence}`);
const page = readFileSync(`${TO}index.html`, "utf-8");
const policy = `<meta http-equiv="Content-Security-Policy" content="${policyOf(page)}">`;
writeFileSync(`${TO}index.html`, page.replace("<head>", `<head>${policy}`));

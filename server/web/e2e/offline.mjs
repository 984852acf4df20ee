// How far the maps of the page without a server are those of the runtime, and how long both take, in Chromium on this
// machine:
//
//   node e2e/offline.mjs ../../web-offline PHOTO...     for the folder that `make web-offline` has built
//
// Each photograph goes through the page's worker, on as many threads as there are cores, and in turn to `vesselrt serve`.
// Times are from the file's bytes to the map of the whole photograph, the least of three. Variables: TIMES=1 for another
// number than three; ONE=1 gives the worker one thread; WHOLE=1 makes a browser of it that decodes no JPEG at a part of its
// size; DEVICE and PRECISION are those of the server, which else has the page's library and precision.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

import { chromium } from "@playwright/test";

import { serve } from "./static.mjs";

const [PORT, API_PORT] = [8771, 8772];
const TIMES = Number(process.env.TIMES || 3);
const [folder, ...photographs] = process.argv.slice(2);
const vesselrt = process.env.VESSELRT || "../../.venv/bin/vesselrt";
const address = `http://127.0.0.1:${PORT}/vessels/offline/${readdirSync(join(folder, "offline"))[0]}/worker.js`;
const whole = Boolean(process.env.WHOLE);
const percent = (share) => `${(100 * share).toFixed(4)} %`;

/** In the page: starts the worker, which answers `ask`. `whole`: as in a browser that decodes no JPEG at a part of its size. */
async function start({ address, whole }) {
  const script = `${whole ? "delete self.ImageDecoder;" : ""} import("${address}").then(() => postMessage("started"))`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });
  const answer = () =>
    new Promise((resolve, reject) => {
      worker.addEventListener("error", ({ message }) => reject(new Error(message)), { once: true });
      worker.addEventListener("message", ({ data }) => resolve(data), { once: true });
    });
  window.ask = (question) => {
    worker.postMessage(question);
    return answer();
  };
  window.blobOf = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  await answer();
  return (await window.ask({})).ready.device;
}

/** In the page: the map of a photograph, which stays there, and the ms that it took. */
async function find({ name, bytes }) {
  const answer = await window.ask({ photograph: new File([window.blobOf(bytes)], name) });
  if (answer.error) throw new Error(answer.error.message);
  window.found = answer.found.map;
  return answer.found.milliseconds;
}

/** In the page: shares of values, and of the pixels of the mask at 0.5, in which the last map is not this one. */
async function compare(expected) {
  const greyOf = async (file) => {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { size: `${width} × ${height}`, values: data.filter((_, at) => at % 4 === 0) };
  };
  const [own, other] = [await greyOf(window.found), await greyOf(window.blobOf(expected))];
  if (own.size !== other.size) throw new Error(`${own.size}, and not ${other.size}`);
  const share = (differ) => own.values.filter((one, at) => differ(one, other.values[at])).length / own.values.length;
  return {
    size: own.size,
    differing: share((one, another) => one !== another),
    flipped: share((one, another) => one >= 128 !== another >= 128),
  };
}

/** The server's map as base64, and the ms that it worked. */
async function askServer(bytes) {
  const answer = await fetch(`http://127.0.0.1:${API_PORT}/predict?format=probability`, {
    method: "POST",
    body: bytes,
  });
  if (!answer.ok) throw new Error(await answer.text());
  const milliseconds = Number(/\btotal;dur=([\d.]+)/.exec(answer.headers.get("Server-Timing"))[1]);
  return { map: Buffer.from(await answer.arrayBuffer()).toString("base64"), milliseconds };
}

async function ready() {
  for (let left = 120; left; left--) {
    if (
      await fetch(`http://127.0.0.1:${API_PORT}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error(`${vesselrt} serve does not become ready`);
}

// Maps are not kept: a photograph that is sent again is analysed again.
const env = { ...process.env, VESSELRT_MAPS_BYTES: "0" };
const options = ["serve", "--port", String(API_PORT), "--quiet"];
options.push("--device", process.env.DEVICE || "cpu:onnxruntime", "--precision", process.env.PRECISION || "int8");
const api = spawn(vesselrt, options, { env, stdio: ["ignore", "ignore", "inherit"] });
const files = serve(PORT, folder, !process.env.ONE);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic"],
});
try {
  await ready();
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${PORT}/vessels/licences.txt`); // of the folder, and without the page's own worker
  console.log(`Chromium ${browser.version()}, ${await page.evaluate(start, { address, whole })}`);
  for (const path of photographs) {
    const bytes = readFileSync(path);
    const [own, servers] = [[], []];
    let map = "";
    for (let time = 0; time < TIMES; time++) {
      own.push(await page.evaluate(find, { name: basename(path), bytes: bytes.toString("base64") }));
      const answer = await askServer(bytes);
      map = answer.map;
      servers.push(answer.milliseconds);
    }
    const { size, differing, flipped } = await page.evaluate(compare, map);
    const times = [own, servers].map((all) => `${Math.round(Math.min(...all))} ms`);
    console.log(
      `${basename(path)} (${size}): ${percent(flipped)} of the mask flipped, ${percent(differing)} of the map differ; ` +
        `browser ${times[0]}, server ${times[1]}`,
    );
  }
} finally {
  await browser.close();
  files.close();
  api.kill();
}

// How long a step of a stroke takes on a photograph of 3504 × 2336, and how much memory 1000 strokes and their undo take, in
// Chromium on this machine without a graphics card:
//
//   node e2e/correct.mjs http://127.0.0.1:8000      for a server that is running
//
// A step is one movement of the pointer: its event, and the frame that shows it. That what is drawn is right is e2e's to prove.

import { cpus } from "node:os";

import { chromium } from "@playwright/test";

const [url = "http://127.0.0.1:8000"] = process.argv.slice(2);
const STROKES = 1000;
const STEPS = 12; // movements of a stroke

/** In the page: the sample, enlarged, as the bytes of a JPEG. */
async function enlarged() {
  const address = document.querySelector("main img").src;
  const sample = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = new OffscreenCanvas(3504, 2336);
  canvas.getContext("2d").drawImage(sample, 584, 0, 2336, 2336);
  const file = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
  return [...new Uint8Array(await file.arrayBuffer())];
}

/** In the page: ms that the page's own code takes for each movement, and for the frame that follows. */
async function strokes([count, steps, wait]) {
  const canvas = document.querySelector("main canvas");
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const send = (type, x, y) =>
    canvas.dispatchEvent(new PointerEvent(type, { pointerId: 1, button: 0, clientX: x, clientY: y, bubbles: true }));
  canvas.setPointerCapture = () => {}; // which takes real pointers only
  const times = [];
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const frame = () => new Promise(requestAnimationFrame);
  for (let stroke = 0; stroke < count; stroke++) {
    let [x, y] = [left + (0.2 + 0.6 * next()) * width, top + (0.25 + 0.6 * next()) * height];
    const [dx, dy] = [30 * (next() - 0.5), 30 * (next() - 0.5)];
    send("pointerdown", x, y);
    for (let step = 0; step < steps; step++) {
      x += dx;
      y += dy;
      const start = performance.now();
      send("pointermove", x, y);
      let spent = performance.now() - start;
      if (wait) {
        await frame(); // the page's own callback for it has been asked for before this one
        const begun = performance.now();
        spent += begun - document.timeline.currentTime;
      }
      times.push(spent);
    }
    send("pointerup", x, y);
    await new Promise((resolve) => setTimeout(resolve)); // React's turn
  }
  return times;
}

const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))].toFixed(1);

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
await page.goto(url);
const buffer = Buffer.from(await page.evaluate(enlarged));
await page.locator("main input[type=file]").first().setInputFiles({ name: "3504.jpg", mimeType: "image/jpeg", buffer });
await page.getByRole("button", { name: /Mask PNG/ }).waitFor({ timeout: 120_000 });
await page.keyboard.press("e");
await page.waitForTimeout(3000);
console.log(`${cpus()[0].model}, ${cpus().length} threads; ms of a step of a stroke, p50 / p95 / most`);
for (const [zoom, key] of [
  ["fit", "0"],
  ["100 %", "1"],
]) {
  await page.keyboard.press(key);
  await page.waitForTimeout(1500);
  const times = await page.evaluate(strokes, [30, STEPS, true]);
  console.log(`${zoom.padEnd(8)}${quantile(times, 0.5)} / ${quantile(times, 0.95)} / ${quantile(times, 1)}`);
}
await page.keyboard.press("0");
await page.waitForTimeout(1500);
const heap = () =>
  page.evaluate(() => {
    gc();
    return performance.memory.usedJSHeapSize;
  });
const before = await heap();
await page.evaluate(strokes, [STROKES, STEPS, false]);
await page.waitForTimeout(500);
const megabytes = ((await heap()) - before) / 2 ** 20;
console.log(`${STROKES} strokes: ${megabytes.toFixed(1)} MB of marks and steps`);
await browser.close();

// How many frames a second the threshold slider, and dragging the enlarged picture, give on a photograph of 12 megapixels,
// in Chromium on this machine:
//
//   node e2e/speed.mjs http://127.0.0.1:8000 [--gpu]     for a server that is running
//
// It moves the slider, or the picture, at every frame that the browser offers and notes when frames come. Without --gpu
// nothing but the processor draws. That what is drawn is right is e2e's to prove.

import { cpus } from "node:os";

import { chromium } from "@playwright/test";

import { enlarged } from "./enlarged.mjs";

const [url = "http://127.0.0.1:8000", gpu] = process.argv.slice(2);
const args = gpu ? ["--enable-gpu", "--ignore-gpu-blocklist"] : ["--disable-gpu"];
const SCREENS = { "1440 × 900": [1440, 900], "1920 × 1080": [1920, 1080], "3840 × 2160": [3840, 2160] };
const SECONDS = 5;

/** In the page: ms between the frames while the slider moves to and fro by a hundredth a frame. */
async function slide(seconds) {
  const slider = document.querySelector("#threshold");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  for (let step = 0, end = performance.now() + 1000 * seconds + 500; performance.now() < end; step++) {
    times.push(await frame());
    const at = step % 160;
    set.call(slider, String((10 + (at < 80 ? at : 160 - at)) / 100));
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return times
    .filter((time) => time > times[0] + 500)
    .map((time, i, all) => time - all[i - 1])
    .slice(1);
}

/** In the page: ms between the frames while a mouse drags the picture to and fro, some pixels a frame. */
async function drag(seconds) {
  const canvas = document.querySelector("main canvas");
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const at = { x: left + width / 2, y: top + height / 2 };
  const send = (type) =>
    canvas.dispatchEvent(
      new PointerEvent(type, { pointerId: 1, button: 0, clientX: at.x, clientY: at.y, bubbles: true }),
    );
  canvas.setPointerCapture = () => {}; // which takes real pointers only
  send("pointerdown");
  const times = [];
  for (let step = 0, end = performance.now() + 1000 * seconds + 500; performance.now() < end; step++) {
    times.push(await new Promise(requestAnimationFrame));
    const way = Math.floor(step / 20) % 2 ? -1 : 1;
    at.x += 9 * way;
    at.y += 6 * way;
    send("pointermove");
  }
  send("pointerup");
  return times
    .filter((time) => time > times[0] + 500)
    .map((time, i, all) => time - all[i - 1])
    .slice(1);
}

const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

console.log(
  `${cpus()[0].model}, ${cpus().length} threads; ${SECONDS} s each; frames a second, and ms of a frame p50 / p95`,
);
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
for (const [screen, [width, height]] of Object.entries(SCREENS)) {
  const page = await browser.newPage({ viewport: { width, height } });
  await page.goto(url);
  const buffer = Buffer.from(await page.evaluate(enlarged));
  await page
    .locator("main input[type=file]")
    .first()
    .setInputFiles({ name: "12mp.jpg", mimeType: "image/jpeg", buffer });
  await page.getByRole("button", { name: /Mask PNG/ }).waitFor({ timeout: 120_000 });
  await page.waitForTimeout(1500);
  const renderer = await page.locator("main canvas").getAttribute("data-renderer");
  for (const [zoom, what, move] of [
    ["fit", "slider", slide],
    ["100 %", "slider", slide],
    ["100 %", "drag", drag],
  ]) {
    await page.keyboard.press(zoom === "fit" ? "0" : "1");
    await page.waitForTimeout(500);
    const frames = await page.evaluate(move, SECONDS);
    const rate = (1000 * frames.length) / frames.reduce((sum, ms) => sum + ms, 0);
    const [middle, slow] = [quantile(frames, 0.5), quantile(frames, 0.95)].map((ms) => ms.toFixed(1));
    const told = renderer.padEnd(8) + screen.padEnd(14) + zoom.padEnd(7) + what.padEnd(8);
    console.log(`${told}${rate.toFixed(1).padStart(6)}  ${middle} / ${slow}`);
  }
  await page.close();
}
await browser.close();

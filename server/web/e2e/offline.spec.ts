import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, type Page, test } from "@playwright/test";

import { decodeGreyPng, type Grey, pngTexts } from "../lib/png";
import { zipEntries } from "../lib/zip";
import { enlarged } from "./enlarged.mjs";
import { drag, measured } from "./gauges";
import { addPhotographs, expectAccessible, JPEG, openFirst, smallTiff } from "./page";

const MOST_FLIPPED = 1e-4; // of the pixels, against the runtime with the same model file
const PLACE = "/vessels/"; // where the folder is served: see static.mjs

const blobOf = (content: Buffer) => new Blob([Uint8Array.from(content)]);

/** The mask that the runtime makes of a photograph, with the page's library and model file. */
async function maskOfRuntime(photograph: Buffer): Promise<Grey> {
  const folder = mkdtempSync(join(tmpdir(), "vesselrt-"));
  const vesselrt = process.env.VESSELRT || "../../.venv/bin/vesselrt";
  const [photo, mask] = ["photo.jpg", "mask.png"].map((name) => join(folder, name)) as [string, string];
  writeFileSync(photo, photograph);
  const how = ["--device", "cpu:onnxruntime", "--precision", "int8"];
  execFileSync(vesselrt, ["predict", photo, ...how, "-o", mask], { stdio: "ignore" });
  return decodeGreyPng(blobOf(readFileSync(mask)));
}

function share(one: Grey, other: Grey): number {
  expect([one.width, one.height]).toEqual([other.width, other.height]);
  return one.values.filter((value, at) => value !== other.values[at]).length / one.values.length;
}

/** Whatever asks for something beyond the page's folder, carries something away, or goes wrong. */
function watch(page: Page, origin: string): string[] {
  const found: string[] = [];
  page.context().on("request", (request) => {
    const own = request.url().startsWith(origin + PLACE) || /^(blob|data):/.test(request.url());
    if (!own || request.method() !== "GET" || request.postDataBuffer()) found.push(request.url());
  });
  page.on("pageerror", ({ message }) => found.push(message));
  page.on("console", (message) => message.type() === "error" && found.push(message.text()));
  return found;
}

async function analyse(page: Page, ...files: { name: string; buffer: Buffer }[]): Promise<void> {
  await page.goto(PLACE);
  await addPhotographs(page, files);
  if (files.length === 1) await expect(page.getByText("Vessels found.")).toBeAttached({ timeout: 240_000 });
}

async function saved(page: Page, press: () => Promise<void>): Promise<{ name: string; content: Buffer }> {
  const downloading = page.waitForEvent("download");
  await press();
  const download = await downloading;
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

const savedMask = (page: Page) => saved(page, () => page.getByRole("button", { name: "Mask PNG" }).click());

test("finds what the runtime finds, below a folder of a server, and sends nothing", async ({ page, baseURL }, info) => {
  const troubles = watch(page, baseURL!);
  await analyse(page, { name: "Иванов OD.jpg", buffer: JPEG });
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(info.project.name === "threads");
  const { name, content } = await savedMask(page);
  expect(name).toBe("Иванов OD-mask.png");
  expect([...(await pngTexts(blobOf(content)))]).toEqual([["Threshold", "0.5"]]);
  expect(share(await decodeGreyPng(blobOf(content)), await maskOfRuntime(JPEG))).toBeLessThanOrEqual(MOST_FLIPPED);
  expect(troubles).toEqual([]);
});

test("finds the same in a JPEG that the runtime decodes at half of its size", async ({ page }) => {
  await page.goto(PLACE);
  const buffer = Buffer.from(await page.evaluate(enlarged));
  await analyse(page, { name: "large.jpg", buffer });
  const { content } = await savedMask(page);
  expect(share(await decodeGreyPng(blobOf(content)), await maskOfRuntime(buffer))).toBeLessThanOrEqual(MOST_FLIPPED);
});

test("the policy keeps the page and its worker to their own origin", async ({ page }) => {
  await page.goto(PLACE);
  const reached = await page.evaluate(async () => {
    const script = "fetch('http://127.0.0.1:8770/').then(() => postMessage('sent'), () => postMessage('refused'))";
    const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const ofWorker = new Promise((resolve) => worker.addEventListener("message", ({ data }) => resolve(data)));
    const refusal = new Promise((resolve) =>
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective)),
    );
    await fetch("http://127.0.0.1:8770/").catch(() => null);
    return [await refusal, await ofWorker];
  });
  expect(reached).toEqual(["connect-src", "refused"]);
});

test("says where photographs stay, and offers what it can make itself", async ({ page }) => {
  await page.goto(PLACE);
  await expect(page.getByText("Photographs stay on this device")).toBeVisible();
  await expect(page.getByText(/server/)).toHaveCount(0);
  await expectAccessible(page);
  await analyse(page, { name: "sample.jpg", buffer: JPEG });
  for (const view of ["Original", "Mask", "Probability", "Vessels"])
    await page.locator("label").filter({ hasText: view }).first().click();
  await expect(page.getByText("Disagreement")).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Overlay PNG" })).toBeVisible();
  await expect(page.getByRole("button", { name: /SVG|GeoJSON/ })).toHaveCount(0);
  await expect(page.getByText(/for the analysis/)).toBeVisible();
  await page.keyboard.press("l");
  await drag(page, [-60, -30], [60, 60]);
  await expect(measured(page)).toHaveText([/^Ruler 1/]);
  await expectAccessible(page);
});

test("corrects a mask and saves what was drawn", async ({ page }) => {
  await analyse(page, { name: "sample.jpg", buffer: JPEG });
  const { content: before } = await savedMask(page);
  await page.getByRole("button", { name: /Correct the mask/ }).click();
  await drag(page, [-40, 0], [40, 0]);
  await expect(page.getByText("Corrected by a person").first()).toBeVisible();
  const { content } = await savedMask(page);
  const [own, drawn] = [await decodeGreyPng(blobOf(before)), await decodeGreyPng(blobOf(content))];
  expect((await pngTexts(blobOf(content))).get("Corrected")).toBe("true");
  expect(share(own, drawn)).toBeGreaterThan(0.0005);
  expect(own.values.every((value, at) => value <= drawn.values[at]!)).toBe(true); // the brush only adds
});

test("saves files of many, and tells what it can't read", async ({ page }) => {
  const files = ["a.jpg", "b.jpg"].map((name) => ({ name, buffer: JPEG }));
  await analyse(page, ...files, { name: "c.tif", buffer: smallTiff() });
  await expect(page.getByText("2 of 3 done").first()).toBeVisible({ timeout: 240_000 });
  await expect(page.getByText("This file could not be opened as a photograph")).toBeVisible();
  const menu = page.getByRole("menuitem");
  const save = async (what: RegExp) => {
    await page.getByRole("button", { name: "Save all" }).click();
    await expect(menu.filter({ hasText: /measure|GeoJSON/i })).toHaveCount(0);
    return saved(page, () => menu.filter({ hasText: what }).click());
  };
  const masks = await zipEntries(blobOf((await save(/^Masks/)).content));
  expect(masks.map(({ name }) => name)).toEqual(["a-mask.png", "b-mask.png"]);
  expect(share(await decodeGreyPng(masks[0]!.content), await maskOfRuntime(JPEG))).toBeLessThanOrEqual(MOST_FLIPPED);
  const names = (await zipEntries(blobOf((await save(/^Training set/)).content))).map(({ name }) => name);
  expect(names).toEqual(["images/a.jpg", "masks/a.png", "images/b.jpg", "masks/b.png"]);
  expect(String((await save(/^Table/)).content)).toMatch(/a\.jpg,done,900,900,fundus,/);
  expect((await save(/^Report/)).content.subarray(0, 5).toString()).toBe("%PDF-");
  await openFirst(page);
});

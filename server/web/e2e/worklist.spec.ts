import { readFileSync } from "node:fs";

import { expect, type Page, test } from "@playwright/test";

import { zipEntries } from "../lib/zip";
import { addPhotographs, expectAccessible, fromApi, JPEG, LOOK, SAMPLE, smallTiff } from "./page";

const cards = (page: Page) => page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
const card = (page: Page, name: string) => page.getByRole("button", { name: new RegExp(`^${name}`) });

/** Opens the page with a photograph that is good, one that is doubtful, and a file that is none. */
async function openThree(page: Page): Promise<void> {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "eye-10.jpg", buffer: JPEG },
    { name: "eye-2.tif", buffer: smallTiff() },
    { name: "notes.pdf", buffer: Buffer.from("%PDF-1.7\n1 0 obj\n") },
  ]);
  await expect(page.getByText("2 of 3 done").first()).toBeVisible();
  await expect(card(page, "notes.pdf failed")).toBeVisible();
}

async function saved(page: Page, what: RegExp): Promise<{ name: string; content: Buffer }> {
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save all" }).click();
  await page.getByRole("menuitem", { name: what }).click();
  const download = await downloading;
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

async function filesIn(zip: Buffer): Promise<Map<string, Buffer>> {
  const entries = await zipEntries(new Blob([Uint8Array.from(zip)]));
  const contents = entries.map(async ({ name, content }) => [name, Buffer.from(await content.arrayBuffer())] as const);
  return new Map(await Promise.all(contents));
}

test("several photographs come as a worklist: what is done, what needs attention, in any order", async ({ page }) => {
  await openThree(page);
  await expect(page.getByText("2 need attention", { exact: false }).first()).toBeVisible();
  await expect(page.getByTestId("announcement")).toHaveText("2 of 3 done, 2 need attention");
  await expect(card(page, "eye-10.jpg [0-9.]+ % done")).toBeVisible();
  await expect(card(page, "eye-2.tif [0-9.]+ % check .*looks blurred")).toBeVisible();
  await expect(cards(page)).toContainText(["eye-2.tif", "eye-10.jpg", "notes.pdf"]);
  await page.getByLabel("Sort by").selectOption("state");
  await expect(cards(page)).toContainText(["notes.pdf", "eye-2.tif", "eye-10.jpg"]);
  await page.getByLabel("Sort by").selectOption("density");
  await expect(cards(page)).toContainText(["eye-10.jpg", "eye-2.tif", "notes.pdf"]);
  await expectAccessible(page);
});

test("a card shows the whole photograph, and over it vessels where the mask has them", async ({ page }) => {
  await openThree(page);
  const good = card(page, "eye-10.jpg");
  await expect(good.locator("[style*=mask]")).toBeAttached();
  const shares = await good.evaluate(async (button) => {
    const [image, vessels] = [button.querySelector("img")!, button.querySelector<HTMLElement>("[style*=mask]")!];
    const address = /url\("(.+)"\)/.exec(vessels.style.getPropertyValue("--mask"))![1]!;
    const mask = Object.assign(new Image(), { src: address });
    await mask.decode();
    const context = new OffscreenCanvas(mask.width, mask.height).getContext("2d")!;
    context.drawImage(mask, 0, 0);
    const { data } = context.getImageData(0, 0, mask.width, mask.height);
    const covered = data.filter((_, place) => place % 4 === 3).reduce((sum, alpha) => sum + alpha / 255, 0);
    return { ratio: image.naturalWidth / image.naturalHeight, covered: covered / (mask.width * mask.height) };
  });
  const mask = await fromApi(page, "mask", 0.5);
  const share = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return data.filter((value, place) => place % 4 === 0 && value === 255).length / (bitmap.width * bitmap.height);
  }, mask.toString("base64"));
  expect(shares.ratio).toBeCloseTo(1, 2);
  expect(shares.covered).toBeCloseTo(share, 3);
});

test("the keyboard goes through it: arrows, Enter, on with arrows, back with Escape", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(
    page,
    Array.from({ length: 7 }, (_, i) => ({ name: `eye-${i + 1}.jpg`, buffer: JPEG })),
  );
  await expect(page.getByText("7 of 7 done").first()).toBeVisible();
  const focused = page.locator("main ol button:focus");
  await expect(focused).toContainText("eye-1.jpg"); // and not lost with the button that is gone
  await page.keyboard.press("ArrowRight");
  await expect(focused).toContainText("eye-2.jpg");
  await page.keyboard.press("ArrowDown"); // lines of five
  await expect(focused).toContainText("eye-7.jpg");
  await page.keyboard.press("Home");
  await expect(focused).toContainText("eye-1.jpg");
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Enter");
  await expect(page.locator("header bdi")).toHaveText("eye-6.jpg");
  await expect(page.locator("main")).toBeFocused();
  await page.keyboard.press("ArrowRight");
  await expect(page.locator("header bdi")).toHaveText("eye-7.jpg");
  await expect(page.getByText("7 of 7", { exact: true })).toBeVisible();
  await page.locator("main canvas").focus(); // of a whole picture nothing is moved
  await page.keyboard.press("ArrowLeft");
  await expect(page.locator("header bdi")).toHaveText("eye-6.jpg");
  await page.keyboard.press("Escape");
  await expect(focused).toContainText("eye-6.jpg");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Remove eye-6.jpg" })).toBeFocused();
});

test("one photograph alone is looked at at once", async ({ page }) => {
  await page.goto("/");
  await page.locator("main input[type=file]").first().setInputFiles(SAMPLE);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.locator("main canvas")).toBeVisible();
});

test("masks, overlays and outlines of all are saved at once, byte for byte the API's, and few requests are made", async ({
  page,
}) => {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "患者1右.jpg", buffer: JPEG },
    { name: "OD.jpg", buffer: JPEG },
    { name: "OD.jpg", buffer: JPEG },
    { name: "scan.dcm", buffer: Buffer.from("DICM") },
  ]);
  await expect(card(page, "scan.dcm failed")).toBeVisible();
  await expect(page.getByText("3 of 4 done").first()).toBeVisible();
  const requests: string[] = [];
  page.on("request", (request) => request.method() === "POST" && requests.push(new URL(request.url()).pathname));
  for (const [what, format, suffix, look] of [
    [/Masks/, "mask", "png", {}],
    [/Overlays/, "overlay", "png", LOOK],
    [/Outlines/, "geojson", "geojson", {}],
  ] as const) {
    const { content } = await saved(page, what);
    const files = await filesIn(content);
    const names = ["OD", "OD", "患者1右"].map((stem) => `${stem}-${format}`);
    names[1] += " (2)";
    expect([...files.keys()]).toEqual(names.map((name) => `${name}.${suffix}`));
    const expected = await fromApi(page, format, 0.5, look);
    for (const file of files.values()) expect(file.equals(expected)).toBe(true);
  }
  expect(requests).toEqual(Array(3).fill("/predict/batch"));
  await expect(page.getByText("3 outlines saved.")).toBeVisible();
});

test("a table of all is saved: what spreadsheets read, with what failed and why", async ({ page }) => {
  await openThree(page);
  const { name, content } = await saved(page, /Table CSV/);
  expect(name).toBe("vessels.csv");
  const [head, ...rows] = content.toString("utf8").replace("\ufeff", "").trim().split("\r\n");
  expect(head).toBe(
    "file,state,width,height,model,model_version,device,precision,threshold,corrected,density," +
      "reasons,quality,quality_reasons,warnings,error",
  );
  const { statistics } = JSON.parse(String(await fromApi(page, "json", 0.5)));
  const health = await (await page.request.get("/health")).json();
  const good = rows.find((row) => row.startsWith("eye-10.jpg"))!.split(",");
  expect(good.slice(1, 4)).toEqual(["done", "900", "900"]);
  expect(good.slice(4, 9)).toEqual([health.model, health.model_version, health.device, health.precision, "0.5"]);
  expect(Number(good[10])).toBeCloseTo(statistics.vessel_density, 12);
  expect(good.slice(11)).toEqual(["", "good", "", "", ""]);
  const doubtful = rows.find((row) => row.startsWith("eye-2.tif"))!;
  expect(doubtful).toContain("eye-2.tif,check,");
  expect(doubtful).toContain("blurred");
  expect(rows.find((row) => row.startsWith("notes.pdf"))).toMatch(/,failed,{14}This file could not be opened/);
});

test("the menu of Save all is one: arrows, Escape, and nothing to save is told", async ({ page }) => {
  await openThree(page);
  const button = page.getByRole("button", { name: "Save all" });
  await button.focus();
  await page.keyboard.press("ArrowDown");
  await expect(page.getByRole("menuitem", { name: /Masks/ })).toBeFocused();
  await expectAccessible(page);
  await page.keyboard.press("ArrowUp");
  await expect(page.getByRole("menuitem", { name: /Report/ })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("menu")).toHaveCount(0);
  await expect(button).toBeFocused();
  await page.route("**/predict/batch?*", (route) => route.abort());
  await page.route(/\/(health|models)$/, (route) => route.abort());
  await button.click();
  await page.getByRole("menuitem", { name: /Masks/ }).click();
  await expect(page.getByText("The server could not be reached")).toBeVisible();
});

for (const [where, viewport, media] of [
  ["on a phone", { width: 390, height: 844 }, {}],
  ["enlarged to 400 %", { width: 320, height: 256 }, {}],
  ["on a 4K screen", { width: 3840, height: 2160 }, {}],
  ["with forced colours", { width: 1280, height: 800 }, { forcedColors: "active" }],
  ["in the dark", { width: 1280, height: 800 }, { colorScheme: "dark" }],
] as const) {
  test(`${where} the worklist is all there, and axe finds nothing`, async ({ page }) => {
    await page.setViewportSize(viewport);
    await page.emulateMedia(media);
    await openThree(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(viewport.width);
    const name = page.getByText("eye-10.jpg", { exact: true });
    await name.scrollIntoViewIfNeeded();
    await expect(name).toBeInViewport();
    const picture = (await cards(page).nth(1).locator("img").boundingBox())!;
    expect(picture.width).toBeGreaterThan(130);
    const vessels = cards(page).nth(1).locator("[style*=mask]");
    await expect(vessels).toHaveCSS("background-color", "rgb(51, 204, 255)");
    await page.getByRole("button", { name: "Save all" }).click();
    await expect(page.getByRole("menuitem", { name: /Table CSV/ })).toBeAttached();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(viewport.width);
    await expectAccessible(page);
  });
}

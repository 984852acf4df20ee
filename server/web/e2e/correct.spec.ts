import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { expect, type Page, test } from "@playwright/test";

import { decodeGreyPng, type Grey, pngTexts } from "../lib/png";
import { zipEntries } from "../lib/zip";
import { addPhotographs, expectAccessible, fromApi, JPEG, LOOK, openFirst, openSample } from "./page";

const canvas = (page: Page) => page.locator("main canvas").first();
const density = (page: Page) => page.getByTestId("density");
const tool = (page: Page, name: string) => page.getByRole("radio", { name });
const blobOf = (content: Buffer) => new Blob([Uint8Array.from(content)]);
const decoded = (content: Buffer): Promise<Grey> => decodeGreyPng(blobOf(content));

async function startCorrecting(page: Page): Promise<void> {
  await page.getByRole("button", { name: /Correct the mask/ }).click();
  await expect(tool(page, "Brush")).toBeChecked();
  await page.keyboard.press("1"); // a pixel of the photograph is one of the screen
  await page.waitForTimeout(300);
}

/** Draws with the mouse from one place to another, in pixels from the middle of the canvas. */
async function drag(page: Page, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  const box = (await canvas(page).boundingBox())!;
  const middle = [box.x + box.width / 2, box.y + box.height / 2] as const;
  await page.mouse.move(middle[0] + from[0], middle[1] + from[1]);
  await page.mouse.down();
  await page.mouse.move(middle[0] + to[0], middle[1] + to[1], { steps: 6 });
  await page.mouse.up();
}

async function saved(page: Page, button: string): Promise<{ name: string; content: Buffer }> {
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  const download = await downloading;
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

/** How many pixels of a mask differ from those of the API's own. */
async function differing(page: Page, content: Buffer): Promise<number> {
  const [one, other] = [await decoded(content), await decoded(await fromApi(page, "mask", 0.5))];
  return one.values.reduce((count, value, pixel) => count + Number(value !== other.values[pixel]), 0);
}

async function vesselPixels(mask: Buffer): Promise<number> {
  return (await decoded(mask)).values.filter((value) => value === 255).length;
}

/** What the reader of `vesselrt train` finds in the files of a data set: photographs' names, and how much vessel they have. */
function readByTraining(files: ReadonlyMap<string, Buffer>): unknown {
  const folder = mkdtempSync(join(tmpdir(), "vesselrt-set-"));
  for (const [name, content] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  const program = [
    "import json, sys, pathlib",
    "from vesselrt.training.data.finding import list_samples, resolve_kind",
    "from vesselrt.training.data.samples import read_pair",
    "root = pathlib.Path(sys.argv[1])",
    "samples = list_samples(resolve_kind('auto', root), root, 'test')", // all of a set without a split of its own
    "print(json.dumps([(s.name, int(read_pair(s)[1].sum())) for s in samples]))",
  ];
  const python = join(dirname(process.env.VESSELRT || "../../.venv/bin/vesselrt"), "python");
  return JSON.parse(execFileSync(python, ["-c", program.join("\n"), folder], { encoding: "utf8" }));
}

/** What the canvas shows as a mask, white or not, around its middle. */
async function whiteOnScreen(page: Page): Promise<boolean[]> {
  await page.keyboard.press("m");
  await page.waitForTimeout(300);
  return canvas(page).evaluate((element: HTMLCanvasElement) => {
    const [left, top] = [Math.round(element.width / 2) - 100, Math.round(element.height / 2) - 60];
    const { data } = element.getContext("2d")!.getImageData(left, top, 200, 120);
    return Array.from({ length: 200 * 120 }, (_, pixel) => data[4 * pixel]! > 127);
  });
}

test("what is painted and erased is on the screen, in the density and in every file, and says so", async ({ page }) => {
  await openSample(page);
  const before = await density(page).textContent();
  await startCorrecting(page);
  const plain = await whiteOnScreen(page);
  await page.keyboard.press("v");
  await drag(page, [-80, 30], [80, 30]);
  await expect(density(page)).not.toHaveText(before!);
  await tool(page, "Eraser").check({ force: true });
  await drag(page, [-60, -40], [60, 20]);
  const drawn = await whiteOnScreen(page);
  expect(drawn.filter((white, pixel) => white !== plain[pixel]).length).toBeGreaterThan(300);

  const mask = await saved(page, "Mask PNG");
  expect(mask.name).toBe("sample-mask.png");
  const { width, height, values } = await decoded(mask.content);
  const shown = await canvas(page).evaluate(({ width, height }: HTMLCanvasElement) => ({ width, height }));
  // The middle of the photograph lies on the middle of the canvas.
  const left = Math.round(shown.width / 2) - 100 + Math.round(width / 2 - shown.width / 2);
  const top = Math.round(shown.height / 2) - 60 + Math.round(height / 2 - shown.height / 2);
  const at = (x: number, y: number) => values[(top + y) * width + left + x] === 255;
  expect(drawn).toEqual(Array.from(drawn, (_, pixel) => at(pixel % 200, Math.floor(pixel / 200))));
  expect((await pngTexts(blobOf(mask.content))).get("Corrected")).toBe("true");

  // Whatever the format, it is the API's answer for this mask.
  const files = { image: { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG } };
  const correction = { name: "correction.png", mimeType: "image/png", buffer: mask.content };
  for (const [button, format, more] of [
    ["Overlay PNG", "overlay", LOOK],
    ["Outlines SVG", "svg", { ...LOOK, simplify: "0.35" }],
    ["Outlines GeoJSON", "geojson", { simplify: "0.35" }],
  ] as const) {
    const { content } = await saved(page, button);
    const query = new URLSearchParams({ format, threshold: "0.5", ...more });
    const answer = await page.request.post(`/predict?${query}`, { multipart: { ...files, correction } });
    expect(content.equals(await answer.body()), format).toBe(true);
    expect(content.toString("latin1"), format).toContain("orrected");
  }
  const query = new URLSearchParams({ format: "json", threshold: "0.5" });
  const answer = await page.request.post(`/predict?${query}`, { multipart: { ...files, correction } });
  const { statistics } = await answer.json();
  await expect(density(page)).toHaveText(`${(100 * statistics.vessel_density).toFixed(1)} %`);
});

test("what was painted stays when the threshold moves; undo and redo go through all steps, a discard too", async ({
  page,
}) => {
  await openSample(page);
  await startCorrecting(page);
  await drag(page, [-80, 30], [80, 30]);
  await drag(page, [-80, 0], [80, 0]);
  const both = await whiteOnScreen(page);
  const slider = page.getByRole("slider", { name: "Threshold" });
  await slider.fill("0.99");
  const sure = await whiteOnScreen(page);
  for (const y of [90, 60]) expect(sure.slice(y * 200 + 25, y * 200 + 175)).toEqual(Array(150).fill(true));
  await slider.fill("0.5");
  expect(await whiteOnScreen(page)).toEqual(both);

  const undo = page.getByRole("button", { name: "Undo (Ctrl Z)" });
  const redo = page.getByRole("button", { name: "Do again|Redo" }).or(page.getByRole("button", { name: /^Redo/ }));
  await page.getByRole("button", { name: "Discard correction" }).click();
  await expect(page.getByText("Correction discarded. Undo brings it back.")).toBeVisible();
  expect(await differing(page, (await saved(page, "Mask PNG")).content)).toBe(0);
  await page.keyboard.press("Control+z");
  expect(await whiteOnScreen(page)).toEqual(both);
  await undo.click();
  await undo.click();
  await expect(undo).toHaveAttribute("aria-disabled", "true");
  expect(await differing(page, (await saved(page, "Mask PNG")).content)).toBe(0);
  await page.keyboard.press("Control+Shift+z");
  await redo.click();
  expect(await whiteOnScreen(page)).toEqual(both);
});

test("the keyboard alone corrects: tools, size, drawing, specks, undo, and out again", async ({ page }) => {
  await openSample(page);
  await page.keyboard.press("e");
  await expect(canvas(page)).toBeFocused();
  const size = page.getByRole("slider", { name: "Size" });
  await expect(size).toHaveAttribute("aria-valuetext", "9 px");
  await page.keyboard.press("]");
  await expect(size).toHaveAttribute("aria-valuetext", "10 px");
  await page.keyboard.press("x");
  await expect(tool(page, "Eraser")).toBeChecked();
  await page.keyboard.press("b");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Space");
  await expect(page.getByText("Brush down.", { exact: false })).toBeVisible();
  for (let step = 0; step < 5; step++) await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowUp");
  await page.keyboard.press("Space");
  await expect(page.getByText("Brush lifted")).toBeVisible();
  await page.keyboard.press("d");
  await expect(page.getByText(/\d+ pixels? removed/)).toBeVisible();
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Control+z");
  await expect(page.getByRole("button", { name: /^Undo/ })).toHaveAttribute("aria-disabled", "true");
  await page.keyboard.press("Control+y");
  await expect(page.getByText("Corrected by a person", { exact: true })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("group", { name: "Correction tools" })).toHaveCount(0);
  await expect(canvas(page)).toBeFocused();
});

test("a pen draws as it is pressed, its other end erases, and two fingers move the picture", async ({ page }) => {
  await openSample(page);
  await startCorrecting(page);
  await page.getByRole("checkbox", { name: "Pen pressure sets the size" }).check();
  const stroke = (y: number, init: Record<string, number>) =>
    canvas(page).evaluate(
      (element: HTMLCanvasElement, [y, init]: readonly [number, Record<string, number>]) => {
        element.setPointerCapture = () => {}; // which takes real pointers only
        const { left, top, width, height } = element.getBoundingClientRect();
        const send = (type: string, x: number) =>
          element.dispatchEvent(
            new PointerEvent(type, {
              pointerId: 7,
              pointerType: "pen",
              buttons: 1,
              bubbles: true,
              clientX: left + width / 2 + x,
              clientY: top + height / 2 + y,
              ...init,
            }),
          );
        send("pointerdown", -50);
        for (let x = -50; x <= 50; x += 5) send("pointermove", x);
        send("pointerup", 50);
      },
      [y, init] as const,
    );
  const whites = async () => (await whiteOnScreen(page)).filter(Boolean).length;
  await tool(page, "Brush").check({ force: true });
  const none = await whites();
  await stroke(30, { pressure: 1 });
  const strong = await whites();
  await stroke(-30, { pressure: 0.1 });
  const light = await whites();
  expect(light - strong).toBeLessThan(0.6 * (strong - none));
  await stroke(30, { pressure: 1, button: 5, buttons: 32 });
  expect(await whites()).toBeLessThan(light);

  // The first finger of two draws nothing: it was the beginning of a pinch.
  const before = await differing(page, (await saved(page, "Mask PNG")).content);
  const percent = page.getByRole("button", { name: /^\d+ %$/ });
  const enlarged = await percent.textContent();
  await canvas(page).evaluate((element: HTMLCanvasElement) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const send = (type: string, pointerId: number, x: number) =>
      element.dispatchEvent(
        new PointerEvent(type, {
          pointerId,
          pointerType: "touch",
          button: 0,
          bubbles: true,
          clientX: left + width / 2 + x,
          clientY: top + height / 2,
        }),
      );
    send("pointerdown", 1, -20);
    send("pointerdown", 2, 20);
    for (let x = 20; x < 80; x += 5) send("pointermove", 2, x);
    send("pointerup", 2, 80);
    send("pointerup", 1, -20);
  });
  await expect(percent).not.toHaveText(enlarged!);
  expect(await differing(page, (await saved(page, "Mask PNG")).content)).toBe(before);
});

test("a corrected mask, and corrected outlines, are read back beside their photograph or after it", async ({
  page,
}) => {
  await openSample(page);
  await startCorrecting(page);
  await page.getByRole("slider", { name: "Threshold" }).fill("0.4");
  await drag(page, [-80, 30], [80, 30]);
  const mask = await saved(page, "Mask PNG");
  const outlines = await saved(page, "Outlines GeoJSON");
  const input = page.locator("input[type=file]").first();
  const photograph = { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG };
  for (const file of [mask, { ...outlines, name: "sample-geojson (1).geojson" }]) {
    await page.goto("about:blank"); // and forget it
    await page.goto("/");
    await input.setInputFiles([photograph, { name: file.name, mimeType: "", buffer: file.content }]);
    await expect(page.getByText(`${file.name} was read as the correction of its photograph.`)).toBeVisible();
    await expect(page.getByRole("slider", { name: "Threshold" })).toHaveValue("0.4");
    const again = await saved(page, "Mask PNG");
    expect(again.content.equals(mask.content)).toBe(true);
  }
  for (const [name, buffer, message] of [
    ["other-mask.png", mask.content, "other-mask.png: there is no photograph of this name."],
    [
      "sample-mask.png",
      Buffer.from("no PNG"),
      "sample-mask.png is no correction of its photograph: it is not an 8-bit",
    ],
    ["sample-geojson.geojson", Buffer.from("{}"), "it is not GeoJSON of polygons."],
  ] as const) {
    await input.setInputFiles([{ name, mimeType: "", buffer }]);
    await expect(page.getByText(message, { exact: false })).toBeVisible();
  }
  await page.getByRole("button", { name: "Dismiss" }).click();
  await expect(page.getByText("sample-geojson.geojson", { exact: false })).toHaveCount(0);
});

test("a training set has the photographs as they came, and their masks, corrected where a person has", async ({
  page,
}) => {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "right.jpg", buffer: JPEG },
    { name: "left.jpg", buffer: JPEG },
  ]);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
  await openFirst(page);
  await startCorrecting(page);
  await drag(page, [-80, 30], [80, 30]);
  const corrected = (await saved(page, "Mask PNG")).content;
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "Done" })).toBeHidden();
  await page.keyboard.press("Escape");
  const save = async (what: RegExp) => {
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save all" }).click();
    await page.getByRole("menuitem", { name: what }).click();
    return readFileSync(await (await downloading).path());
  };
  const zip = await save(/Training set/);
  const files = new Map<string, Buffer>();
  for (const { name, content } of await zipEntries(blobOf(zip)))
    files.set(name, Buffer.from(await content.arrayBuffer()));
  expect([...files.keys()]).toEqual(["images/left.jpg", "masks/left.png", "images/right.jpg", "masks/right.png"]);
  for (const name of ["images/left.jpg", "images/right.jpg"]) expect(files.get(name)!.equals(JPEG)).toBe(true);
  expect(files.get("masks/left.png")!.equals(corrected)).toBe(true);
  expect(files.get("masks/right.png")!.equals(await fromApi(page, "mask", 0.5))).toBe(true);
  await expect(page.getByText("Training set of 2 photographs saved, 1 corrected.")).toBeVisible();
  expect(readByTraining(files)).toEqual([
    ["left", await vesselPixels(corrected)],
    ["right", await vesselPixels(files.get("masks/right.png")!)],
  ]);
  const [head, left, right] = (await save(/Table CSV/)).toString("utf8").replace("\ufeff", "").trim().split("\r\n");
  const column = head!.split(",").indexOf("corrected");
  expect([left, right].map((row) => row!.split(",")[column])).toEqual(["yes", ""]);
});

for (const [where, viewport, media] of [
  ["in the light", { width: 1280, height: 800 }, {}],
  ["in the dark, on a phone", { width: 390, height: 844 }, { colorScheme: "dark" }],
  ["with forced colours, enlarged to 400 %", { width: 320, height: 256 }, { forcedColors: "active" }],
] as const) {
  test(`${where} all of it is there while correcting, and axe finds nothing`, async ({ page }) => {
    await page.setViewportSize(viewport);
    await page.emulateMedia(media);
    await openSample(page);
    await page.keyboard.press("e");
    await expect(page.getByRole("button", { name: "Done" })).toBeInViewport();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(viewport.width);
    await expectAccessible(page);
  });
}

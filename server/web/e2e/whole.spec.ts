import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { expect, type JSHandle, test } from "@playwright/test";

import { expectDownloads, expectMaskOnScreen, fromApi, JPEG, openSample, SAMPLE, smallTiff } from "./page";

test("upload, slide, download: byte for byte what the API answers; nothing leaves the origin", async ({
  page,
  baseURL,
}) => {
  const elsewhere: string[] = [];
  await page.context().route(
    (url) => url.origin !== baseURL && /^(https?|wss?):$/.test(url.protocol),
    (route) => {
      elsewhere.push(route.request().url());
      return route.abort();
    },
  );
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));

  await page.goto("/");
  await page.locator("main input[type=file]").first().setInputFiles(SAMPLE);
  const slider = page.getByRole("slider", { name: "Threshold" });
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  const before = await page.getByTestId("density").textContent();
  await slider.fill("0.25");
  await expect(page.getByTestId("density")).not.toHaveText(before!);
  await page.keyboard.press("?");
  await expect(page.getByRole("link", { name: "Licences" })).toBeVisible();
  expect((await page.request.get("/licences.txt")).status()).toBe(200);
  await page.keyboard.press("Escape");
  await expectDownloads(page, 0.25);
  const { statistics } = JSON.parse(String(await fromApi(page, "json", 0.25)));
  await expect(page.getByTestId("density")).toHaveText((100 * statistics.vessel_density).toFixed(1));
  const [whole, onServer] = [
    ...(await page.getByText("of it on the server").textContent())!.matchAll(/([\d.]+) (m?s)/g),
  ].map(([, number, unit]) => Number(number) * (unit === "s" ? 1000 : 1));
  expect(onServer).toBeLessThan(whole!);
  expect(elsewhere).toEqual([]);
  expect(complaints).toEqual([]);
});

test("the mask on the screen is the mask of the API", async ({ page }) => {
  await openSample(page);
  const slider = page.getByRole("slider", { name: "Threshold" });
  for (const threshold of [0.6, 0.2, 0.37]) await slider.fill(String(threshold)); // there by steps, up and down
  await expectMaskOnScreen(page, 0.37);
});

test("the keyboard does everything", async ({ page }) => {
  await openSample(page);
  const slider = page.getByRole("slider", { name: "Threshold" });
  const start = Number(await slider.inputValue());
  await page.keyboard.press("]");
  expect(Number(await slider.inputValue())).toBeCloseTo(start + 0.01);
  await page.keyboard.press("{");
  expect(Number(await slider.inputValue())).toBeCloseTo(start - 0.09);
  await page.keyboard.press("r");
  expect(Number(await slider.inputValue())).toBeCloseTo(start);
  await page.keyboard.press("m");
  await expect(page.getByRole("radio", { name: "Mask" })).toBeChecked();
  await page.keyboard.press("c");
  const wiper = page.getByRole("slider", { name: /Comparison/ });
  await page.keyboard.press(">");
  await expect(wiper).toHaveAttribute("aria-valuenow", "52");
  await page.keyboard.press("1");
  await expect(page.getByRole("button", { name: "100 %" })).toBeVisible();
  const downloading = page.waitForEvent("download");
  await page.keyboard.press("s");
  expect((await downloading).suggestedFilename()).toBe("sample-mask.png");
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys and gestures" });
  await expect(help).toBeVisible();
  await help.getByRole("checkbox").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("o");
  await expect(page.getByRole("radio", { name: "Mask" })).toBeChecked();
});

test("errors are told in words, and the film strip goes on", async ({ page }) => {
  await page.goto("/");
  const broken = { name: "broken.jpg", mimeType: "image/jpeg", buffer: Buffer.from([0xff, 0xd8, 0xff, 0, 1]) };
  await page.locator("main input[type=file]").first().setInputFiles([broken]);
  await expect(page.locator("main").getByRole("alert")).toContainText("This file could not be opened as a photograph");
  await page.locator("header input[type=file]").setInputFiles(SAMPLE);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await expect(page.getByRole("list", { name: "Photographs" }).getByRole("listitem")).toHaveCount(2);
  await page.keyboard.press("k");
  await expect(page.locator("main").getByRole("alert")).toContainText("broken.jpg");
  await page.getByRole("button", { name: "Remove broken.jpg" }).click();
  await expect(page.locator("main").getByRole("alert")).toHaveCount(0);
});

test("what is not read is called by its name, and what helps is told", async ({ page }) => {
  await page.goto("/");
  const heic = Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1");
  await page
    .locator("main input[type=file]")
    .first()
    .setInputFiles([
      { name: "scan.dcm", mimeType: "", buffer: Buffer.from(`${"\0".repeat(128)}DICM`) },
      { name: "phone.heic", mimeType: "image/heic", buffer: heic },
    ]);
  const alert = page.locator("main").getByRole("alert");
  await expect(alert).toContainText("The file is DICOM, which is not read. Export");
  await page.keyboard.press("j");
  await expect(alert).toContainText("The file is HEIC, which is not read. Save it as JPEG");
});

test("what is doubtful is in sight: above the results, in the strip, and of its photograph alone", async ({ page }) => {
  await page.goto("/");
  const flat = { name: "flat.tif", mimeType: "image/tiff", buffer: smallTiff() };
  const sample = { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG };
  await page.locator("main input[type=file]").first().setInputFiles([flat, sample]);
  const strip = page.getByRole("list", { name: "Photographs" });
  await expect(strip.getByRole("button", { name: "flat.tif: warning" })).toBeVisible();
  await expect(strip.getByRole("button", { name: /sample.jpg: \d/ })).toBeVisible();
  const warning = page.locator("aside").getByText("looks blurred");
  for (const [width, height] of [
    [1280, 800],
    [390, 844],
  ] as const) {
    await page.setViewportSize({ width, height });
    await expect(warning).toBeInViewport({ ratio: 1 });
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  }
  await page.keyboard.press("j");
  await expect(page.getByText("2 of 2")).toBeVisible();
  await expect(warning).toHaveCount(0);
});

test("the plain page, which takes the place of this one where it is not built, tells it too", async ({ page }) => {
  const path = new URL("../../static/fallback.html", import.meta.url).pathname;
  await page.route(
    ({ pathname }) => pathname === "/",
    (route) => route.fulfill({ path }),
  );
  await page.goto("/");
  const input = page.locator("input[type=file]");
  const warnings = page.getByRole("list", { name: "Warnings" });
  await input.setInputFiles({ name: "flat.tif", mimeType: "image/tiff", buffer: smallTiff() });
  await expect(warnings).toContainText("looks blurred");
  await input.setInputFiles(SAMPLE);
  await expect(page.locator("#status")).toContainText("Done"); // the threshold is a status too
  await expect(warnings).toHaveCount(0);
});

test("a press that moves by a pixel leaves the whole picture, which follows the window", async ({ page }) => {
  await openSample(page);
  const canvas = page.locator("canvas");
  const percent = page.getByRole("button", { name: /^\d+ %$/ });
  const box = (await canvas.boundingBox())!;
  const whole = await percent.textContent();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 1, box.y + box.height / 2);
  await page.mouse.up();
  await expect(canvas).toHaveAttribute("data-fitted", "true");
  await page.mouse.wheel(0, -300);
  await expect(canvas).toHaveAttribute("data-fitted", "false");
  await page.mouse.wheel(0, 3000);
  await expect(canvas).toHaveAttribute("data-fitted", "true");
  await expect(percent).toHaveText(whole!);
  await page.setViewportSize({ width: 1000, height: 500 });
  await expect(percent).not.toHaveText(whole!);
  expect((await canvas.boundingBox())!.height).toBeLessThan(500);
});

test("in a series the zoom stays, the focus is never lost, and the chosen frame is in view", async ({ page }) => {
  await page.goto("/");
  const photographs = Array.from({ length: 12 }, (_, i) => ({
    name: `eye-${i + 1}.jpg`,
    mimeType: "image/jpeg",
    buffer: JPEG,
  }));
  await page.locator("main input[type=file]").first().setInputFiles(photographs);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  const canvas = page.locator("canvas");
  await canvas.focus();
  await page.keyboard.press("1");
  await page.keyboard.press("j");
  await expect(page.getByRole("heading", { name: "vesselrt" })).toBeVisible();
  await expect(page.getByText("2 of 12")).toBeVisible();
  await expect(canvas).toBeFocused();
  await expect(page.getByRole("button", { name: "100 %" })).toBeVisible();
  for (let i = 0; i < 10; i++) await page.keyboard.press("j");
  await expect(page.getByText("12 of 12")).toBeVisible();
  const strip = page.getByRole("list", { name: "Photographs" });
  const chosen = strip.locator("[aria-current=true]");
  await expect(chosen).toBeInViewport();
  await expect(chosen).toContainText("eye-12.jpg");
  await chosen.focus();
  await page.keyboard.press("ArrowUp");
  await expect(chosen).toBeFocused();
  await expect(chosen).toContainText("eye-11.jpg");
  for (let left = 11; left > 0; left--) {
    await page.keyboard.press("Delete");
    await expect(strip.getByRole("listitem")).toHaveCount(left);
    await expect(chosen).toBeFocused();
  }
  await page.keyboard.press("Delete");
  await expect(page.locator("header input[type=file]")).toBeFocused();
});

test("what a key saves is told, and only of the photograph and threshold that it was", async ({ page }) => {
  await openSample(page);
  const said = page.locator("aside p[role=status]");
  await page.keyboard.press("s");
  await expect(said).toHaveText("sample-mask.png saved.");
  await page.keyboard.press("]");
  await expect(said).toHaveText("At this threshold, in full resolution.");
  await page.route("**/predict?*", (route) => route.abort());
  await page.route("**/health", (route) => route.abort());
  await page.keyboard.press("s");
  await expect(said).toContainText("The server could not be reached");
});

test("photographs that a server's absence stopped go on together", async ({ page }) => {
  await page.goto("/");
  await page.route("**/predict?*", (route) => route.abort());
  await page.route("**/health", (route) => route.abort());
  const photographs = ["left.jpg", "right.jpg"].map((name) => ({ name, mimeType: "image/jpeg", buffer: JPEG }));
  await page.locator("main input[type=file]").first().setInputFiles(photographs);
  const failed = page.getByRole("list", { name: "Photographs" }).getByText("failed");
  await expect(failed).toHaveCount(2);
  await page.unrouteAll();
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(failed).toHaveCount(0);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
});

test("photographs are dropped and pasted, other things are not", async ({ page }) => {
  await page.goto("/");
  const carry = (name: string, type: string, content: Buffer) =>
    page.evaluateHandle(
      ([name, type, base64]) => {
        const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
        return transfer;
      },
      [name, type, content.toString("base64")] as const,
    );
  const body = page.locator("body");
  const strip = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
  const dropped = { dataTransfer: await carry("dropped.jpg", "image/jpeg", JPEG) };
  await body.dispatchEvent("dragenter", dropped);
  await expect(page.getByText("Drop to add")).toBeVisible();
  await body.dispatchEvent("drop", dropped);
  await expect(page.getByText("Drop to add")).toBeHidden();
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();

  const paste = (transfer: JSHandle<DataTransfer>) =>
    transfer.evaluate((clipboardData) =>
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true })),
    );
  await paste(await carry("notes.txt", "text/plain", Buffer.from("no photograph")));
  await paste(await carry("pasted.jpg", "image/jpeg", JPEG));
  await expect(strip).toHaveCount(2);
  await expect(page.getByRole("button", { name: "Remove pasted.jpg" })).toBeVisible();

  // What was dropped and is no photograph is told so.
  await body.dispatchEvent("drop", { dataTransfer: await carry("scan.dcm", "", Buffer.from("DICM")) });
  await expect(page.locator("main").getByRole("alert")).toContainText("could not be opened as a photograph");
  await expect(page.locator("main").getByRole("alert")).toContainText("scan.dcm");
});

test("what the browser can't read is shown as the server reads it", async ({ page }) => {
  await page.goto("/");
  const tiff = { name: "scan.tif", mimeType: "image/tiff", buffer: smallTiff() };
  await page.locator("main input[type=file]").first().setInputFiles(tiff);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await expect(page.getByText("can’t show")).toHaveCount(0);
  await page.keyboard.press("o");
  await page.waitForTimeout(500);
  const seen = await page.locator("canvas").screenshot();
  const brightest = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(bitmap.width / 2 - 9, bitmap.height / 2 - 9, 18, 18);
    return [data[0], data[1], data[2]];
  }, seen.toString("base64"));
  expect(brightest).toEqual([200, 90, 40]);
  await expect(page.getByText("of the field of view", { exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: /scan\.tif: / }).locator("img")).toBeVisible();
});

test("an overlay is saved in the colour and opacity that are seen", async ({ page }) => {
  await openSample(page);
  await page.getByRole("radio", { name: "Blue" }).check({ force: true });
  await page.getByRole("slider", { name: "Opacity" }).fill("0.8");
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Overlay PNG" }).click();
  const saved = readFileSync(await (await downloading).path());
  const expected = await fromApi(page, "overlay", 0.5, { colour: "#33ccff", opacity: "0.8" });
  expect(saved.equals(expected)).toBe(true);
});

test("of a folder that is dropped the photographs in it are taken", async ({ page }, info) => {
  const folder = info.outputPath("visit");
  mkdirSync(folder, { recursive: true });
  for (const name of ["right.jpg", "left.jpg"]) writeFileSync(`${folder}/${name}`, JPEG);
  writeFileSync(`${folder}/Thumbs.db`, "none");
  await page.goto("/");
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [folder], dragOperationsMask: 1 };
  const drag = (type: "dragEnter" | "dragOver" | "drop") =>
    devtools.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await expect(async () => {
    await drag("dragEnter"); // before the page listens nobody sees it
    await expect(page.getByText("Drop to add")).toBeVisible({ timeout: 500 });
  }).toPass();
  await drag("dragOver");
  await drag("drop");
  const strip = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
  await expect(strip).toHaveCount(2);
  await expect(strip.first()).toContainText("left.jpg");
});

for (const scheme of ["light", "dark"] as const) {
  test(`axe finds nothing, ${scheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto("/");
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await openSample(page);
    await page.keyboard.press("c");
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await page.keyboard.press("?");
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  });
}

test.describe("on a phone", () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });

  test("all is there and nothing sticks out", async ({ page }) => {
    await page.goto("/");
    await expect(page.getByText("Take a photograph")).toBeVisible();
    const camera = page.getByLabel("Take a photograph");
    await expect(camera).toHaveAttribute("capture", "environment"); // the camera that looks away from who holds it
    await camera.setInputFiles(SAMPLE);
    await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
    await page.getByRole("slider", { name: "Threshold" }).fill("0.35");
    await expectDownloads(page, 0.35);
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await openSample(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await expect(page.getByText("sample.jpg").first()).toBeVisible();
    await page.getByRole("button", { name: /GeoJSON/ }).scrollIntoViewIfNeeded();
    const canvas = page.locator("canvas");
    await expect(canvas).toBeInViewport();
    // It lies over what is scrolled below it, and a finger on it touches nothing else.
    const covered = await canvas.evaluate((element) => {
      const { left, top, width, height } = element.getBoundingClientRect();
      const points = Array.from({ length: 40 }, (_, i) => [left + width / 2, top + ((i + 0.5) * height) / 40] as const);
      return points.every(([x, y]) => document.elementFromPoint(x, y)?.closest("main"));
    });
    expect(covered).toBe(true);
  });
});

test.describe("on a 4K screen", () => {
  test.use({ viewport: { width: 3840, height: 2160 } });

  test("the photograph has most of it, and nothing sticks out", async ({ page }) => {
    await openSample(page);
    const box = (await page.locator("canvas").boundingBox())!;
    expect(box.width * box.height).toBeGreaterThan(0.6 * 3840 * 2160);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(3840);
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  });
});

import { readFileSync } from "node:fs";

import { expect, test } from "@playwright/test";

import { expectDownloads, expectMaskOnScreen, fromApi, JPEG, openSample, SAMPLE } from "./page";

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
  await expect(page.getByTestId("density")).toHaveText(`${(100 * statistics.vessel_density).toFixed(1)} %`);
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

test("a press that moves by a pixel leaves the whole picture, which follows the window", async ({ page }) => {
  await openSample(page);
  const canvas = page.locator("main canvas");
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

test("while a picture is dragged it is, pixel by pixel, what is drawn when it rests", async ({ page }) => {
  await openSample(page);
  await page.setViewportSize({ width: 900, height: 500 });
  await page.keyboard.press("1");
  const canvas = page.locator("main canvas").first();
  await expect(canvas).toHaveAttribute("data-fitted", "false");
  await page.waitForTimeout(500);
  const differing = await canvas.evaluate(async (element: HTMLCanvasElement) => {
    const { left, top } = element.getBoundingClientRect();
    const send = (type: string, x: number, y: number) =>
      element.dispatchEvent(
        new PointerEvent(type, { pointerId: 1, button: 0, clientX: left + x, clientY: top + y, bubbles: true }),
      );
    const frame = () => new Promise(requestAnimationFrame);
    const pixels = () => element.getContext("2d")!.getImageData(0, 0, element.width, element.height).data;
    const differences = (one: Uint8ClampedArray, other: Uint8ClampedArray) =>
      one.reduce((count, value, place) => count + Number(value !== other[place]), 0);
    element.setPointerCapture = () => {}; // which takes real pointers only
    const start = pixels();
    send("pointerdown", 200, 200);
    for (let step = 1; step <= 20; step++) {
      const way = Math.min(step, 7); // held at the end, until the last step is drawn
      send("pointermove", 200 - 13 * way, 200 + 9 * way);
      await frame();
    }
    const dragged = pixels();
    send("pointerup", 109, 263);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return [differences(dragged, pixels()), differences(dragged, start)];
  });
  expect(differing[0]).toBe(0);
  expect(differing[1]).toBeGreaterThan(10_000);
});

test("what a key saves is told, and only of the photograph and threshold that it was", async ({ page }) => {
  await openSample(page);
  const said = page.locator("aside section p[role=status]");
  await page.keyboard.press("s");
  await expect(said).toHaveText("sample-mask.png saved.");
  await page.keyboard.press("]");
  await expect(said).toHaveText("At this threshold, in full resolution.");
  await page.route("**/predict?*", (route) => route.abort());
  await page.route(/\/(health|models)$/, (route) => route.abort());
  await page.keyboard.press("s");
  await expect(said).toContainText("The server could not be reached");
});

test("an overlay is saved in the colour and opacity that are seen", async ({ page }) => {
  await openSample(page);
  await page.getByRole("radio", { name: "Yellow" }).check({ force: true });
  await page.getByRole("slider", { name: "Opacity" }).fill("0.8");
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Overlay PNG" }).click();
  const saved = readFileSync(await (await downloading).path());
  const expected = await fromApi(page, "overlay", 0.5, { colour: "#ffe600", opacity: "0.8" });
  expect(saved.equals(expected)).toBe(true);
  await openSample(page); // the next visit
  await expect(page.getByRole("radio", { name: "Yellow" })).toBeChecked();
  await expect(page.getByRole("slider", { name: "Opacity" })).toHaveValue("0.8");
});

test("files keep the names of their photographs, in any letters", async ({ page }) => {
  await page.goto("/");
  for (const name of ["Иванов OD", "患者1右"]) {
    const photograph = { name: `${name}.jpg`, mimeType: "image/jpeg", buffer: JPEG };
    await page.locator("header input[type=file]").setInputFiles(photograph);
    await expect(page.locator("header bdi")).toHaveText(`${name}.jpg`);
    await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Mask PNG" }).click();
    expect((await downloading).suggestedFilename()).toBe(`${name}-mask.png`);
  }
});

test("on paper a photograph keeps its shape, and all is on one page", async ({ page }) => {
  await openSample(page);
  const pdf = await page.pdf({ preferCSSPageSize: true });
  expect(pdf.toString("latin1").match(/\/Type\s*\/Page\b/g)).toHaveLength(1);
  await page.emulateMedia({ media: "print" });
  await page.setViewportSize({ width: 688, height: 1000 }); // A4 within its margins
  await page.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
  const pictures = page.locator("figure canvas");
  await expect(pictures).toHaveCount(2);
  for (const picture of await pictures.all()) {
    const box = (await picture.boundingBox())!;
    expect(box.width / box.height).toBeCloseTo(1, 2); // the sample is square
    expect(box.width).toBeGreaterThan(250);
  }
  await expect(page.getByText("% of the field of view, at a threshold of 0.50")).toBeVisible();
  await expect(page.getByText("Not for diagnosis").last()).toBeVisible();
  await expect(page.getByRole("button")).toHaveCount(0);
});

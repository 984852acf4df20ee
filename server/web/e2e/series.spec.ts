import { mkdirSync, writeFileSync } from "node:fs";

import { expect, type JSHandle, test } from "@playwright/test";

import { JPEG, openFirst, pixelsInTheMiddle, smallTiff } from "./page";

test("in a series the zoom stays, the focus is never lost, and the chosen frame is in view", async ({ page }) => {
  await page.goto("/");
  const photographs = Array.from({ length: 12 }, (_, i) => ({
    name: `eye-${i + 1}.jpg`,
    mimeType: "image/jpeg",
    buffer: JPEG,
  }));
  await page.locator("main input[type=file]").first().setInputFiles(photographs);
  await openFirst(page);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  const canvas = page.locator("main canvas");
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
  const seen = await page.locator("main canvas").screenshot();
  const [brightest] = await pixelsInTheMiddle(page, seen, 18);
  expect(brightest).toEqual([200, 90, 40]);
  await expect(page.getByText("of the field of view", { exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: /^scan\.tif / }).locator("img")).toBeVisible();
});

test("of a folder that is dropped the photographs in it are taken", async ({ page }, info) => {
  const folder = info.outputPath("visit");
  mkdirSync(folder, { recursive: true });
  for (const name of ["right.jpg", "left.jpg"]) writeFileSync(`${folder}/${name}`, JPEG);
  writeFileSync(`${folder}/Thumbs.db`, "none");
  await page.goto("/");
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible(); // what is hidden takes no drop
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [folder], dragOperationsMask: 1 };
  const drag = (type: "dragCancel" | "dragEnter" | "dragOver" | "drop") =>
    devtools.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await expect(async () => {
    await drag("dragCancel"); // before the page listens nobody sees it, and the browser tells it once
    await drag("dragEnter");
    await expect(page.getByText("Drop to add")).toBeVisible({ timeout: 500 });
  }).toPass();
  await drag("dragOver");
  await drag("drop");
  const strip = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
  await expect(strip).toHaveCount(2);
  await expect(strip.first()).toContainText("left.jpg");
});

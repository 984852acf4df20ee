import { expect, test } from "@playwright/test";

import { expectAccessible, JPEG, openFirst, SAMPLE, smallTiff } from "./page";

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
      { name: "letter.pdf", mimeType: "image/jpeg", buffer: Buffer.from("%PDF-1.7\n1 0 obj\n") },
      { name: "torn.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(0) },
    ]);
  const alert = page.locator("main").getByRole("alert");
  await openFirst(page);
  await expect(alert).toContainText("The file is PDF, which is not read");
  await page.keyboard.press("j");
  await expect(alert).toContainText("The file is HEIC, which is not read. Save it as JPEG");
  await page.keyboard.press("j");
  // Without the packages that read it, and with them.
  await expect(alert).toContainText(/The file is DICOM, which needs packages|The DICOM's header is damaged/);
  await page.keyboard.press("j");
  await expect(alert).toContainText("This file is empty");
  await expect(alert.getByRole("button", { name: "Try again" })).toHaveCount(0);
});

test("what is doubtful is in sight: above the results, in the strip, and of its photograph alone", async ({ page }) => {
  await page.goto("/");
  const flat = { name: "flat.tif", mimeType: "image/tiff", buffer: smallTiff() };
  const sample = { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG };
  await page.locator("main input[type=file]").first().setInputFiles([flat, sample]);
  const strip = page.getByRole("list", { name: "Photographs" });
  await openFirst(page);
  await expect(strip.getByRole("button", { name: "flat.tif check" })).toBeVisible();
  await expect(strip.getByRole("button", { name: /sample.jpg \d/ })).toBeVisible();
  const warning = page.locator("aside").getByText("looks blurred");
  await expect(page.locator("main").getByText("looks blurred")).toBeInViewport();
  for (const [width, height] of [
    [1280, 800],
    [390, 844],
  ] as const) {
    await page.setViewportSize({ width, height });
    await expect(warning).toBeInViewport({ ratio: 1 });
    await expectAccessible(page);
  }
  await page.keyboard.press("j");
  await expect(page.getByText("2 of 2")).toBeVisible();
  await expect(warning).toHaveCount(0);
});

test("photographs that a server's absence stopped go on together", async ({ page }) => {
  await page.goto("/");
  await page.route("**/predict?*", (route) => route.abort());
  await page.route(/\/(health|models)$/, (route) => route.abort());
  const photographs = ["left.jpg", "right.jpg"].map((name) => ({ name, mimeType: "image/jpeg", buffer: JPEG }));
  await page.locator("main input[type=file]").first().setInputFiles(photographs);
  const failed = page.getByRole("list", { name: "Photographs" }).getByText("failed");
  await expect(failed).toHaveCount(2);
  await page.unrouteAll();
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(failed).toHaveCount(0);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
});

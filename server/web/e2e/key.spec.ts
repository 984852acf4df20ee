import { readFileSync } from "node:fs";

import { expect, test } from "@playwright/test";

import { expectAccessible, JPEG, KEY, SAMPLE } from "./page";

test("a server with a key asks for it once; all photographs and downloads then pass", async ({ page }) => {
  await page.goto("/");
  const second = { name: "second.jpg", mimeType: "image/jpeg", buffer: JPEG };
  await page.locator("main input[type=file]").first().setInputFiles(SAMPLE);
  await page.locator("header input[type=file]").setInputFiles([second]);
  const alert = page.locator("main").getByRole("alert");
  await expect(alert).toContainText("This server asks for a key");
  await expectAccessible(page);
  await expect(alert.getByLabel("Key")).toBeFocused();
  const strip = page.getByRole("list", { name: "Photographs" });
  await expect(strip.getByText("failed")).toHaveCount(1); // the others wait for the key
  await page.keyboard.type("not-the-key");
  const refused = page.waitForResponse((answer) => answer.status() === 401);
  await alert.getByRole("button", { name: "Go on" }).click();
  await refused;
  await expect(alert).toContainText("That is not the server’s key");
  await expect(alert.getByLabel("Key")).toHaveValue("");
  await alert.getByLabel("Key").fill(KEY);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: /sample.jpg \d/ })).toBeVisible();
  await expect(page.getByRole("button", { name: /second.jpg \d/ })).toBeVisible();
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Mask PNG" }).click();
  const png = readFileSync(await (await downloading).path());
  expect(png.subarray(1, 4).toString()).toBe("PNG");
  await page.reload(); // the tab remembers it
  await page.getByRole("button", { name: "Show the sample" }).click();
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
});

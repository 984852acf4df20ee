import { expect, test } from "@playwright/test";

import { expectMaskOnScreen, openSample } from "./page";

test("without WebGL the mask on the screen is the mask of the API too", async ({ page }) => {
  await openSample(page);
  await expect(page.locator("canvas")).toHaveAttribute("data-renderer", "canvas");
  await page.getByRole("slider", { name: "Threshold" }).fill("0.37");
  await expectMaskOnScreen(page, 0.37);
});

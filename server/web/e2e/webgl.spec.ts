import { expect, type Page, test } from "@playwright/test";

import { EXCLUSIVE, expectMaskOnScreen, openSample } from "./page";

/** The WebGL that the processor computes stands in for a graphics card. */
async function pretendCard(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const ask = WebGL2RenderingContext.prototype.getParameter;
    WebGL2RenderingContext.prototype.getParameter = function (name) {
      return name === 0x9246 ? "a graphics card" : ask.call(this, name); // UNMASKED_RENDERER_WEBGL
    };
  });
}

test("on a graphics card the mask on the screen is the mask of the API too", async ({ page }) => {
  await pretendCard(page);
  await openSample(page);
  await expect(page.locator("main canvas")).toHaveAttribute("data-renderer", "WebGL");
  await page.getByRole("slider", { name: "Threshold" }).fill("0.37");
  await expectMaskOnScreen(page, 0.37);
});

test.describe("of several classes", () => {
  test.use({ baseURL: `http://127.0.0.1:${EXCLUSIVE}` });

  test("the label map on a graphics card is that of the API", async ({ page }) => {
    await pretendCard(page);
    await openSample(page, /Label map PNG/);
    await expect(page.locator("main canvas")).toHaveAttribute("data-renderer", "WebGL");
    await page.getByRole("slider", { name: /vein/ }).fill("0.25");
    await expectMaskOnScreen(page, "artery:0.5,vein:0.25", { 1: [255, 46, 99], 2: [77, 178, 255] });
  });
});

test("WebGL that the processor computes is not used: it takes seconds for a frame", async ({ page }) => {
  await openSample(page);
  await expect(page.locator("main canvas")).toHaveAttribute("data-renderer", "canvas");
});

import { expect, test } from "@playwright/test";

import { expectMaskOnScreen, openSample } from "./page";

test("on a graphics card the mask on the screen is the mask of the API too", async ({ page }) => {
  // The WebGL that the processor computes stands in for one.
  await page.addInitScript(() => {
    const ask = WebGL2RenderingContext.prototype.getParameter;
    WebGL2RenderingContext.prototype.getParameter = function (name) {
      return name === 0x9246 ? "a graphics card" : ask.call(this, name); // UNMASKED_RENDERER_WEBGL
    };
  });
  await openSample(page);
  await expect(page.locator("main canvas")).toHaveAttribute("data-renderer", "WebGL");
  await page.getByRole("slider", { name: "Threshold" }).fill("0.37");
  await expectMaskOnScreen(page, 0.37);
});

test("WebGL that the processor computes is not used: it takes seconds for a frame", async ({ page }) => {
  await openSample(page);
  await expect(page.locator("main canvas")).toHaveAttribute("data-renderer", "canvas");
});

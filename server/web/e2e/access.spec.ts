import { expect, test } from "@playwright/test";

import { expectAccessible, openSample, SAMPLE } from "./page";

test("the focus is never lost: after choosing, and after a reset", async ({ page }) => {
  await page.goto("/");
  const input = page.locator("main input[type=file]").first();
  await input.focus();
  await input.setInputFiles(SAMPLE);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await expect(page.locator("main")).toBeFocused();
  await page.keyboard.press("]");
  const reset = page.getByRole("button", { name: "Reset" });
  await reset.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("slider", { name: "Threshold" })).toHaveValue("0.5");
  await expect(reset).toBeFocused();
});

test("a new density is announced once the slider rests", async ({ page }) => {
  await openSample(page);
  const said = page.getByTestId("announcement");
  await page.keyboard.press("{");
  const density = await page.getByTestId("density").textContent();
  await expect(said).toHaveText(`Density: vessels ${density}`);
});

test("with forced colours sliders, switch, chosen view and frame are seen", async ({ page }) => {
  await page.emulateMedia({ forcedColors: "active" });
  await openSample(page);
  const colours = (target: string) =>
    page.locator(target).evaluate((element) => {
      const { outlineStyle, outlineWidth, backgroundColor, forcedColorAdjust } = getComputedStyle(element);
      return { outline: outlineStyle !== "none" && outlineWidth, backgroundColor, forcedColorAdjust };
    });
  const [chosen, other] = [
    await colours("input:checked + span"),
    await colours("input[name=view]:not(:checked) + span >> nth=0"),
  ];
  expect(chosen.backgroundColor).not.toBe(other.backgroundColor);
  expect((await colours("[data-selected=true] img")).outline).toBe("3px");
  for (const input of ["#threshold", "aside input[type=checkbox] >> nth=0"])
    expect((await colours(input)).forcedColorAdjust).toBe("none");
});

test("enlarged to 400 % the picture has room, and nothing is cut off", async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 256 });
  await openSample(page);
  const canvas = page.locator("main canvas").first();
  const box = (await canvas.boundingBox())!;
  expect(box.width).toBeGreaterThan(300);
  expect(box.height).toBeGreaterThan(150);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
  await expectAccessible(page);
});

test.describe("with a finger", () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });

  test("scrolling over a slider leaves it alone; sideways, and a tap, move it", async ({ page }) => {
    await openSample(page);
    const slider = page.getByRole("slider", { name: "Threshold" });
    const place = async () => {
      const box = (await slider.boundingBox())!;
      return [box.x + 0.8 * box.width, box.y + box.height / 2, box.width] as const;
    };
    const devtools = await page.context().newCDPSession(page);
    const swipe = async (dx: number, dy: number) => {
      const [x, y] = await place();
      const touch = (type: "touchStart" | "touchMove" | "touchEnd", share: number) =>
        devtools.send("Input.dispatchTouchEvent", {
          type,
          touchPoints: type === "touchEnd" ? [] : [{ x: x + share * dx, y: y + share * dy }],
        });
      await touch("touchStart", 0);
      for (let step = 1; step <= 8; step++) await touch("touchMove", step / 8);
      await touch("touchEnd", 1);
    };
    await swipe(6, -80);
    expect(await page.evaluate(() => scrollY)).toBeGreaterThan(0);
    await expect(slider).toHaveValue("0.5");
    const scrolledBack = () =>
      page.evaluate(() => {
        scrollTo(0, 0);
        return scrollY;
      });
    await expect.poll(scrolledBack).toBe(0); // the finger's swing is over
    const value = async () => Number(await slider.inputValue());
    await swipe(-0.5 * (await place())[2], 5);
    await expect.poll(value).toBeLessThan(0.4);
    const [x, y] = await place();
    await page.touchscreen.tap(x, y);
    await expect.poll(value).toBeCloseTo(0.8, 1);
  });
});

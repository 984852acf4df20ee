import { readFileSync } from "node:fs";

import { expect, type Locator, test } from "@playwright/test";

import { addPhotographs, expectAccessible, expectMaskOnScreen, fromApi, JPEG, openSample } from "./page";

test("each class has its colour, switch, threshold and density, and is saved as it is seen", async ({ page }) => {
  await openSample(page, /Label map PNG/);
  const artery = page.getByRole("slider", { name: "artery: threshold" });
  const vein = page.getByRole("slider", { name: "vein: threshold" });
  await expect(artery).toHaveValue("0.5");
  await expect(vein).toHaveValue("0.4"); // the model's own
  await expect(page.getByLabel("Colour of artery")).toHaveValue("#ff2e63");
  await vein.fill("0.3");
  const { classes } = JSON.parse(String(await fromApi(page, "json", "artery:0.5,vein:0.3")));
  for (const [number, { statistics }] of classes.entries())
    await expect(page.getByTestId("density").nth(number)).toHaveText(`${(100 * statistics.density).toFixed(1)} %`);

  const saved = async (button: string) => {
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: button }).click();
    const download = await downloading;
    return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
  };
  const both = await saved("Label map PNG");
  expect(both.name).toBe("sample-mask.png");
  expect(both.content.equals(await fromApi(page, "mask", "artery:0.5,vein:0.3"))).toBe(true);
  const one = await saved("vein Mask PNG");
  expect(one.name).toBe("sample-vein-mask.png");
  expect(one.content.equals(await fromApi(page, "mask", "artery:0.5,vein:0.3", { classes: "vein" }))).toBe(true);

  await page.getByRole("checkbox", { name: "Show artery" }).uncheck();
  const colour = "#00aaff";
  await page.getByLabel("Colour of vein").fill(colour);
  const overlay = await saved("Overlay PNG");
  const look = { classes: "vein", colour: `vein:${colour}`, opacity: "0.75" };
  expect(overlay.content.equals(await fromApi(page, "overlay", "artery:0.5,vein:0.3", look))).toBe(true);
  await page.keyboard.press("]"); // moves what is shown
  await expect(vein).toHaveValue("0.31");
  await expect(artery).toHaveValue("0.5");
  await page.getByRole("button", { name: "Reset" }).click();
  await expect(vein).toHaveValue("0.4");
  await expectAccessible(page);
});

test("the classes on the screen are those of the label map", async ({ page }) => {
  await openSample(page, /Label map PNG/);
  await page.getByLabel("Colour of artery").fill("#ff0000");
  await page.getByLabel("Colour of vein").fill("#00ff00");
  for (const threshold of ["0.6", "0.2", "0.33"]) await page.getByRole("slider", { name: /artery/ }).fill(threshold);
  await page.getByRole("slider", { name: /vein/ }).fill("0.25");
  await expectMaskOnScreen(page, "artery:0.33,vein:0.25", { 1: [255, 0, 0], 2: [0, 255, 0] });
});

test("in the worklist each class has its colour and density, at the photograph's thresholds", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(
    page,
    ["a.jpg", "b.jpg"].map((name) => ({ name, buffer: JPEG })),
  );
  const first = page.locator("main ol li").first();
  const expectDensities = async (card: Locator, threshold: string) => {
    const { classes } = JSON.parse(String(await fromApi(page, "json", threshold)));
    const difference = async () => {
      const [, ...shown] = /([\d.]+) % artery, ([\d.]+) % vein/.exec((await card.textContent())!) ?? [];
      const expected = classes.map((one: { statistics: { density: number } }) => 100 * one.statistics.density);
      return Math.max(...expected.map((percent: number, number: number) => Math.abs(percent - Number(shown[number]))));
    };
    await expect.poll(difference).toBeLessThan(0.06); // both are rounded
  };
  await expectDensities(first, "artery:0.5,vein:0.4");
  await expect(first.locator("[style*=mask]")).toHaveCount(2);
  await first.getByRole("button").first().click();
  await page.getByRole("slider", { name: "vein: threshold" }).fill("0.3");
  await page.getByRole("checkbox", { name: "Show artery" }).uncheck();
  await page.keyboard.press("Escape");
  await expectDensities(first, "artery:0.5,vein:0.3");
  await expect(first.locator("[style*=mask]")).toHaveCount(1);
  await expectDensities(page.locator("main ol li").nth(1), "artery:0.5,vein:0.4");
});

test("a phone has room for them", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await openSample(page, /Label map PNG/);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  await expect(page.getByRole("checkbox", { name: "Show vein" })).toBeVisible();
});

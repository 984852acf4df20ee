import { expect, type Page, test } from "@playwright/test";

import { HEAT } from "../lib/heat";
import { expectAccessible, fromApi, openSample, pixelsInTheMiddle } from "./page";

/** Red, green and blue of the canvas's pixels in the middle, row by row. */
async function middleOf(page: Page, side: number): Promise<number[][]> {
  return pixelsInTheMiddle(page, await page.locator("main canvas").first().screenshot(), side);
}

test("the heat map has, pixel by pixel, the colour of the API's probability", async ({ page }) => {
  await openSample(page);
  await page.keyboard.press("p");
  await expect(page.getByRole("radio", { name: "Probability" })).toBeChecked();
  await expect(page.getByText("Probability of a vessel")).toBeVisible();
  await expect(page.getByRole("slider", { name: "Opacity" })).toHaveAttribute("aria-disabled", "true");
  await expectAccessible(page);
  await page.keyboard.press("1");
  await page.waitForTimeout(800);
  const side = 200;
  const levels = await pixelsInTheMiddle(page, await fromApi(page, "probability", 0.5), side);
  const seen = await middleOf(page, side);
  const differing = seen.filter((colour, place) => colour.some((value, at) => value !== HEAT[levels[place]![0]!]![at]));
  expect(differing.length / seen.length).toBeLessThan(0.001);
});

test("the original is seen for as long as O, or the button, is held; a short press stays with it", async ({ page }) => {
  await openSample(page);
  const image = page.locator("main canvas");
  await page.keyboard.down("o");
  await expect(image).toHaveAccessibleName("sample.jpg: original.");
  await page.waitForTimeout(400);
  await page.keyboard.up("o");
  await expect(image).toHaveAccessibleName("sample.jpg: vessels.");
  await expect(page.getByRole("radio", { name: "Vessels" })).toBeChecked();
  const button = page.getByRole("button", { name: "Hold: original" });
  await button.hover();
  await page.mouse.down();
  await expect(image).toHaveAccessibleName("sample.jpg: original.");
  await page.mouse.up();
  await expect(image).toHaveAccessibleName("sample.jpg: vessels.");
  await button.focus();
  await page.keyboard.down("Enter");
  await expect(button).toHaveAttribute("aria-pressed", "true");
  await page.keyboard.up("Enter");
  await expect(image).toHaveAccessibleName("sample.jpg: vessels.");
  await page.keyboard.press("o");
  await expect(page.getByRole("radio", { name: "Original" })).toBeChecked();
});

test("side by side both are moved by what moves one of them", async ({ page }) => {
  await openSample(page);
  await page.keyboard.press("2");
  const both = page.locator("main canvas");
  await expect(both).toHaveCount(2);
  await expectAccessible(page);
  const [left, right] = [(await both.nth(0).boundingBox())!, (await both.nth(1).boundingBox())!];
  expect(left.x + left.width).toBeLessThanOrEqual(right.x);
  expect(Math.abs(left.width - right.width)).toBeLessThanOrEqual(1);
  await page.keyboard.press("o"); // of both the original, which then are the same
  await expect(both).toHaveCount(1);
  await page.keyboard.press("m");
  await page.keyboard.press("2");
  await page.mouse.move(left.x + left.width / 2, left.y + left.height / 2);
  await page.mouse.wheel(0, -600);
  await expect(both.nth(0)).toHaveAttribute("data-fitted", "false");
  await expect(both.nth(1)).toHaveAttribute("data-fitted", "false");
  await page.keyboard.press("c");
  await expect(both).toHaveCount(1);
  await expect(page.getByRole("slider", { name: /Comparison/ })).toBeVisible();
});

test("the wiper is centred by a double click, and by a key", async ({ page }) => {
  await openSample(page);
  await page.keyboard.press("c");
  const wiper = page.getByRole("slider", { name: /Comparison/ });
  for (const centre of [() => wiper.dblclick(), () => page.keyboard.press(".")]) {
    for (let step = 0; step < 3; step++) await page.keyboard.press(">");
    await expect(wiper).toHaveAttribute("aria-valuenow", "56");
    await centre();
    await expect(wiper).toHaveAttribute("aria-valuenow", "50");
  }
});

test("where a model has several members, their differences are seen", async ({ page }) => {
  await page.route("**/models", async (route) => {
    const answer = await route.fetch();
    const told = await answer.json();
    for (const model of told.models) model.members = 2;
    await route.fulfill({ response: answer, json: told });
  });
  await page.route("**/predict?format=spread*", async (route) => {
    // The server's model has one member: the probability stands for the map that it would send.
    const answer = await route.fetch({ url: route.request().url().replace("format=spread", "format=probability") });
    await route.fulfill({ response: answer });
  });
  await openSample(page);
  await page.getByRole("radio", { name: "Disagreement" }).check({ force: true });
  await expect(page.getByText("How far the models differ")).toBeVisible();
  await expect(page.locator("main canvas")).toHaveAccessibleName("sample.jpg: disagreement.");
  await page.waitForTimeout(800);
  const colours = new Set((await middleOf(page, 200)).map((colour) => colour.join()));
  const heat = new Set(HEAT.map((colour) => colour.join()));
  const known = [...colours].filter((colour) => heat.has(colour));
  expect(known.length).toBeGreaterThan(20);
});

import { readFileSync } from "node:fs";

import { expect, type Page, test } from "@playwright/test";

import { addPhotographs, expectAccessible, fromApi, JPEG, LOOK, openSample } from "./page";

const NAMES = ["a.jpg", "b.jpg"];

function choiceOf(page: Page) {
  return page.getByRole("combobox", { name: "Model" });
}

async function saved(page: Page, press: () => Promise<void>): Promise<Buffer> {
  const downloading = page.waitForEvent("download");
  await press();
  return readFileSync(await (await downloading).path());
}

/** Every POST from now on: its path, with the model that it names. */
function requestsOf(page: Page): string[] {
  const asked: string[] = [];
  page.on("request", (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (request.method() === "POST") asked.push(`${pathname} ${searchParams.get("model")}`);
  });
  return asked;
}

test("a photograph is analysed by the model that is chosen, and its files are of it", async ({ page }) => {
  await openSample(page);
  await page.getByRole("slider", { name: "Threshold" }).fill("0.3");
  await expect(choiceOf(page)).toHaveValue("fundus");
  await choiceOf(page).selectOption("two");
  await expect(page.getByRole("slider", { name: "vein: threshold" })).toHaveValue("0.4"); // its own again
  await expect(page.getByText("two 1", { exact: true })).toBeVisible();
  await expectAccessible(page);
  const asked = requestsOf(page);
  const labels = await saved(page, () => page.getByRole("button", { name: "Label map PNG" }).click());
  expect(labels.equals(await fromApi(page, "mask", "artery:0.5,vein:0.4", { model: "two" }))).toBe(true);
  expect(asked).toEqual(["/predict two"]);

  // What the other has found is there at once, with its threshold.
  await choiceOf(page).selectOption("fundus");
  await expect(page.getByRole("slider", { name: "Threshold" })).toHaveValue("0.3");
  const overlay = await saved(page, () => page.getByRole("button", { name: "Overlay PNG" }).click());
  expect(overlay.equals(await fromApi(page, "overlay", 0.3, LOOK))).toBe(true);
  expect(asked).toEqual(["/predict two", "/predict null"]);
});

test("a correction comes back with the model that it was made of", async ({ page }) => {
  await openSample(page);
  const density = page.getByTestId("density");
  const found = (await density.textContent())!;
  await page.keyboard.press("e");
  await page.mouse.move(300, 300);
  await page.mouse.down();
  await page.mouse.move(600, 500, { steps: 8 });
  await page.mouse.up();
  await expect(density).not.toHaveText(found);
  const corrected = (await density.textContent())!;
  await page.keyboard.press("Escape");
  await choiceOf(page).selectOption("two");
  await expect(density).toHaveCount(2);
  await choiceOf(page).selectOption("fundus");
  await expect(density).toHaveText(corrected);
  await choiceOf(page).selectOption("two");
  await expect(density).toHaveCount(2);
  await page.getByRole("button", { name: "Undo", exact: true }).click();
  await expect(density).toHaveText(corrected);
  await expect(choiceOf(page)).toHaveValue("fundus");
});

test("the worklist has one model or several, and every file the photograph's own", async ({ page }) => {
  await page.goto("/");
  await choiceOf(page).selectOption("two");
  await expectAccessible(page);
  await addPhotographs(
    page,
    NAMES.map((name) => ({ name, buffer: JPEG })),
  );
  await expect(page.locator("main ol li").getByText(/% vein/)).toHaveCount(2);
  await expect(choiceOf(page)).toHaveValue("two");
  await page.locator("main ol button").first().click();
  await choiceOf(page).selectOption("fundus");
  await expect(page.getByRole("slider", { name: "Threshold" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(choiceOf(page)).toHaveValue("");
  await expect(choiceOf(page).locator("option:checked")).toHaveText("several");
  await expectAccessible(page);

  const asked = requestsOf(page);
  const table = await saved(page, async () => {
    await page.getByRole("button", { name: /Save all/ }).click();
    await page.getByRole("menuitem", { name: /^Table CSV/ }).click();
  });
  const rows = String(table).trim().split("\r\n").slice(1);
  expect(rows.map((row) => /fundus|two/.exec(row)?.[0])).toEqual(["fundus", "two"]);
  await saved(page, async () => {
    await page.getByRole("button", { name: /Save all/ }).click();
    await page.getByRole("menuitem", { name: /^Masks/ }).click();
  });
  expect(asked.toSorted()).toEqual(["/predict/batch null", "/predict/batch two"]);

  await page.locator("main ol button").first().click();
  await page.getByRole("button", { name: "Use for all 2" }).click();
  await page.keyboard.press("Escape");
  await expect(choiceOf(page)).toHaveValue("fundus");
  await expect(page.locator("main ol li").getByText(/% vein/)).toHaveCount(0);
  await choiceOf(page).selectOption("two");
  await expect(page.locator("main ol li").getByText(/% vein/)).toHaveCount(2);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.locator("main ol li").getByText(/% vein/)).toHaveCount(0);
});

test("a photograph that was kept, and whose model is there no longer, can have another one", async ({ page }) => {
  await page.goto("/");
  await choiceOf(page).selectOption("two");
  await addPhotographs(page, [{ name: "a.jpg", buffer: JPEG }]);
  await expect(page.getByRole("slider", { name: "vein: threshold" })).toBeVisible();
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByRole("checkbox", { name: /Keep/ }).check();
  await expect(page.getByText("Photographs are kept in this browser.")).toBeVisible();
  await page.route("**/models", (route) => route.fulfill({ json: { models: [{ name: "fundus", default: true }] } }));
  await page.reload();
  await expect(page.getByRole("slider", { name: "vein: threshold" })).toBeVisible();
  await expect(choiceOf(page).locator("option:checked")).toHaveText("two");
  await choiceOf(page).selectOption("fundus");
  await expect(page.getByRole("slider", { name: "Threshold" })).toBeVisible();
  await expect(choiceOf(page)).toHaveCount(0); // nothing is left to choose
});

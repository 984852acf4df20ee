import { readFileSync } from "node:fs";

import { expect, type Page } from "@playwright/test";

export const canvas = (page: Page) => page.locator("main canvas").first();
export const measured = (page: Page) => page.getByRole("list", { name: "Measured" }).getByRole("listitem");
export const part = (page: Page, name: string | RegExp) => page.locator("main").getByRole("button", { name });
export const scale = (page: Page) => page.getByLabel("µm per pixel");

/** A place of the screen so many CSS px from the middle of the canvas. */
export async function at(page: Page, x: number, y: number): Promise<readonly [number, number]> {
  const box = (await canvas(page).boundingBox())!;
  return [Math.round(box.x + box.width / 2) + x, Math.round(box.y + box.height / 2) + y];
}

export async function drag(page: Page, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  await page.mouse.move(...(await at(page, ...from)));
  await page.mouse.down();
  await page.mouse.move(...(await at(page, ...to)), { steps: 4 });
  await page.mouse.up();
}

export async function click(page: Page, x: number, y: number): Promise<void> {
  await page.mouse.click(...(await at(page, x, y)));
}

/** The middle of a part of a gauge, from that of the canvas. */
export async function placeOf(page: Page, name: string | RegExp): Promise<[number, number]> {
  const { x, y, width, height } = (await part(page, name).boundingBox())!;
  const [left, top] = await at(page, 0, 0);
  return [x + width / 2 - left, y + height / 2 - top];
}

export async function atFullSize(page: Page): Promise<void> {
  await page.keyboard.press("1"); // a pixel of the photograph is one of the screen
  await page.waitForTimeout(300);
}

/** The rows of the table that is saved, by the names of its columns. */
export async function table(page: Page): Promise<Record<string, string>[]> {
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save what is measured" }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("measured.csv");
  const [head, ...rows] = readFileSync(await download.path(), "utf8")
    .trim()
    .split("\r\n");
  const names = head!.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, column) => [names[column]!, cell])));
}

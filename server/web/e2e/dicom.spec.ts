import { readFileSync } from "node:fs";

import { expect, type Page, test } from "@playwright/test";

import { zipEntries } from "../lib/zip";
import { DISCS, discsDicom } from "./dicom";
import { addPhotographs, pixelsInTheMiddle } from "./page";

/** The colour in the middle of the photograph that is looked at. */
async function colourInTheMiddle(page: Page): Promise<number[]> {
  await page.keyboard.press("o");
  await page.waitForTimeout(500);
  return (await pixelsInTheMiddle(page, await page.locator("main canvas").first().screenshot(), 1))[0]!;
}

test("a photograph in DICOM is seen, though no browser shows such files", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(page, [{ name: "eye.dcm", buffer: discsDicom(DISCS.slice(0, 1)) }]);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await expect(page.locator("header bdi")).toHaveText("eye.dcm");
  expect(await colourInTheMiddle(page)).toEqual([...DISCS[0]]);
});

test("each photograph of a DICOM file is one of its own, in the worklist, the viewer and in what is saved", async ({
  page,
}) => {
  const buffer = discsDicom(DISCS);
  await page.goto("/");
  await addPhotographs(page, [{ name: "series.dcm", buffer }]);
  await expect(page.getByText("3 of 3 done").first()).toBeVisible();
  const cards = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
  await expect(cards).toContainText(["series.dcm · 1/3", "series.dcm · 2/3", "series.dcm · 3/3"]);
  await expect(cards.locator("img")).toHaveCount(3);

  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save all" }).click();
  await page.getByRole("menuitem", { name: /Masks/ }).click();
  const zip = readFileSync(await (await saving).path());
  const files = await zipEntries(new Blob([Uint8Array.from(zip)]));
  expect(files.map(({ name }) => name)).toEqual([1, 2, 3].map((number) => `series-frame-${number}-mask.png`));

  await cards.nth(1).getByRole("button").first().click();
  await expect(page.locator("header bdi")).toHaveText("series.dcm · 2/3");
  expect(await colourInTheMiddle(page)).toEqual([...DISCS[1]]);
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Overlay PNG" }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("series-frame-2-overlay.png");
  await page.keyboard.press("j");
  await expect(page.locator("header bdi")).toHaveText("series.dcm · 3/3");
  expect(await colourInTheMiddle(page)).toEqual([...DISCS[2]]);
});

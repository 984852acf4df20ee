import { expect, test } from "@playwright/test";

import { DISCS, discsDicom } from "./dicom";
import { atFullSize, drag, measured, scale, table } from "./gauges";
import { addPhotographs, JPEG, openFirst, smallTiff } from "./page";

test("the scale is the photograph's own, or that of all; it is in the figures, the table, and what the server measures", async ({
  page,
}) => {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "eye-1.jpg", buffer: JPEG },
    { name: "eye-2.tif", buffer: smallTiff() },
  ]);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
  await openFirst(page);
  await atFullSize(page);
  await page.keyboard.press("l");
  await drag(page, [-50, 0], [50, 0]);
  await expect(measured(page)).toHaveText([/^Ruler 1100\.0 px×/]);
  await expect(page.getByText("Not known. Enter it to read µm too.")).toBeVisible();
  await scale(page).fill("7.5");
  await expect(measured(page)).toHaveText([/^Ruler 1100\.0 px · 750 µm/]);
  await scale(page).fill("-3");
  await expect(measured(page)).toHaveText([/^Ruler 1100\.0 px×/]);
  await scale(page).fill("8");
  await page.keyboard.press("Tab");
  await page.keyboard.press("j");
  await expect(page.locator("header bdi")).toHaveText("eye-2.tif");
  await expect(measured(page)).toHaveCount(0);
  await expect(scale(page)).toHaveValue("");
  await page.keyboard.press("k");
  await page.getByRole("button", { name: "This scale for all 2" }).click();
  await page.keyboard.press("j");
  await expect(scale(page)).toHaveValue("8");
  expect(await table(page)).toEqual([
    expect.objectContaining({ file: "eye-1.jpg", kind: "ruler", length_px: "100", length_um: "800", um_per_px: "8" }),
  ]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  const asking = page.waitForRequest(/measure=true/);
  await page.getByRole("button", { name: "Save all" }).click();
  await page.getByRole("menuitem", { name: /Table with measurements/ }).click();
  expect(new URL((await asking).url()).searchParams.get("um_per_px")).toBe("8");
});

test("a DICOM file tells its own scale; what is measured is kept where photographs are", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(page, [{ name: "eye.dcm", buffer: discsDicom(DISCS.slice(0, 1), 0.0062) }]);
  await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
  await page.keyboard.press("l");
  await expect(scale(page)).toHaveValue("6.2");
  await expect(page.getByText("As the file tells it.")).toBeVisible();
  await atFullSize(page);
  await drag(page, [-50, 0], [50, 0]);
  await expect(measured(page)).toHaveText([/100\.0 px · 620 µm/]);
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByLabel("Keep photographs", { exact: true }).check();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await page.waitForTimeout(500);
  await page.reload();
  await expect(measured(page)).toHaveText([/100\.0 px · 620 µm/]);
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByRole("button", { name: "Forget everything" }).click();
});

import { expect, test } from "@playwright/test";

import { addPhotographs, expectAccessible, JPEG, openSample } from "./page";

test("what was removed comes back: by the button, by Ctrl+Z, and from an empty page", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(
    page,
    ["a.jpg", "b.jpg"].map((name) => ({ name, buffer: JPEG })),
  );
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
  const cards = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
  await page.keyboard.press("Delete");
  await expect(cards).toHaveCount(1);
  const undo = page.getByRole("button", { name: "Undo" });
  await expect(page.getByText("a.jpg removed.")).toBeVisible();
  await expectAccessible(page);
  await undo.click();
  await expect(cards).toContainText(["a.jpg", "b.jpg"]);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible(); // nothing is sent again
  await expect(undo).toHaveCount(0);
  await page.locator("main ol button").first().focus();
  await page.keyboard.press("Delete");
  await page.keyboard.press("Delete");
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
  await page.keyboard.press("Control+z");
  await expect(cards).toContainText(["b.jpg"]);
  await page.getByRole("button", { name: "Dismiss" }).click(); // the other one is forgotten
  await expect(undo).toHaveCount(0);
  await page.keyboard.press("Control+z");
  await expect(cards).toHaveCount(1);
});

test("the browser asks before it loads the page again, where there is something to lose", async ({ page }) => {
  await openSample(page);
  let asked = 0;
  page.on("dialog", (dialog) => {
    asked++;
    expect(dialog.type()).toBe("beforeunload");
    return dialog.accept();
  });
  await page.reload();
  expect(asked).toBe(0); // the sample comes back by one press
  await openSample(page);
  await page.keyboard.press("]");
  await page.reload();
  expect(asked).toBe(1);
});

test("each photograph has its threshold, until one press gives it to all; that can be undone", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(
    page,
    ["a.jpg", "b.jpg", "c.jpg"].map((name) => ({ name, buffer: JPEG })),
  );
  await expect(page.getByText("3 of 3 done").first()).toBeVisible();
  const densities = page.locator("main ol").getByText(/^[0-9.]+ %$/);
  const before = await densities.first().textContent();
  await page.keyboard.press("Enter");
  const slider = page.getByRole("slider", { name: "Threshold" });
  await slider.fill("0.3");
  await page.keyboard.press("Escape");
  await expect(densities.nth(0)).not.toHaveText(before!);
  await expect(densities.nth(1)).toHaveText(before!);
  await page.keyboard.press("Enter");
  await expect(slider).toHaveValue("0.3");
  await page.keyboard.press("j");
  await expect(slider).toHaveValue("0.5");
  await page.keyboard.press("k");
  const all = page.getByRole("button", { name: "Apply to all 3" });
  await all.click();
  await expect(all).toBeFocused();
  await expect(all).toHaveAttribute("aria-disabled", "true");
  await page.keyboard.press("j");
  await expect(slider).toHaveValue("0.3");
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(slider).toHaveValue("0.5");
});

import { expect, test } from "@playwright/test";

import { addPhotographs, expectAccessible, expectDownloads, JPEG, openSample, SAMPLE, smallTiff } from "./page";

test("the plain page, which takes the place of this one where it is not built, tells it too", async ({ page }) => {
  const path = new URL("../../static/fallback.html", import.meta.url).pathname;
  await page.route(
    ({ pathname }) => pathname === "/",
    (route) => route.fulfill({ path }),
  );
  await page.goto("/");
  const input = page.locator("input[type=file]");
  const warnings = page.getByRole("list", { name: "Warnings" });
  await input.setInputFiles({ name: "flat.tif", mimeType: "image/tiff", buffer: smallTiff() });
  await expect(warnings).toContainText("looks blurred");
  await input.setInputFiles(SAMPLE);
  await expect(page.locator("#status")).toContainText("Done"); // the threshold is a status too
  await expect(warnings).toHaveCount(0);
});

for (const scheme of ["light", "dark"] as const) {
  test(`axe finds nothing, ${scheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto("/");
    await expectAccessible(page);
    await openSample(page);
    await page.keyboard.press("c");
    await expectAccessible(page);
    await page.keyboard.press("?");
    await expectAccessible(page);
  });
}

test.describe("on a phone", () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });

  test("all is there and nothing sticks out", async ({ page }) => {
    await page.goto("/");
    await expect(page.getByText("Take a photograph")).toBeVisible();
    const camera = page.getByLabel("Take a photograph");
    await expect(camera).toHaveAttribute("capture", "environment"); // the camera that looks away from who holds it
    await camera.setInputFiles(SAMPLE);
    await expect(page.getByRole("button", { name: /Mask PNG/ })).toBeVisible();
    await page.getByRole("slider", { name: "Threshold" }).fill("0.35");
    await expectDownloads(page, 0.35);
    await expectAccessible(page);
    await openSample(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await expect(page.getByText("sample.jpg").first()).toBeVisible();
    await page.getByRole("button", { name: /GeoJSON/ }).scrollIntoViewIfNeeded();
    const canvas = page.locator("main canvas");
    await expect(canvas).toBeInViewport();
    // It lies over what is scrolled below it, and a finger on it touches nothing else.
    const covered = await canvas.evaluate((element) => {
      const { left, top, width, height } = element.getBoundingClientRect();
      const points = Array.from({ length: 40 }, (_, i) => [left + width / 2, top + ((i + 0.5) * height) / 40] as const);
      return points.every(([x, y]) => document.elementFromPoint(x, y)?.closest("main"));
    });
    expect(covered).toBe(true);
  });
});

test.describe("on a 4K screen", () => {
  test.use({ viewport: { width: 3840, height: 2160 } });

  test("the photograph has most of it, and nothing sticks out", async ({ page }) => {
    await openSample(page);
    const box = (await page.locator("main canvas").boundingBox())!;
    expect(box.width * box.height).toBeGreaterThan(0.6 * 3840 * 2160);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(3840);
    await expectAccessible(page);
  });

  test("the worklist's cards grow with it, and their copies are as sharp as they are shown", async ({ page }) => {
    await page.goto("/");
    await addPhotographs(
      page,
      ["a", "b", "c", "d", "e", "f"].map((name) => ({ name: `${name}.jpg`, buffer: JPEG })),
    );
    await expect(page.getByText("6 of 6 done").first()).toBeVisible();
    const cards = page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
    const tops = () => cards.evaluateAll((all) => all.map((card) => Math.round(card.getBoundingClientRect().top)));
    expect(new Set((await tops()).slice(0, 5)).size).toBe(1);
    expect((await tops())[5]).toBeGreaterThan((await tops())[0]!);
    const sharp = () =>
      cards.first().evaluate(async (card) => {
        const image = card.querySelector("img")!;
        const mask = new Image();
        mask.src = /url\("(.*)"\)/.exec(
          getComputedStyle(card.querySelector<HTMLElement>("[style*=mask]")!).maskImage,
        )![1]!;
        await mask.decode();
        return [image.naturalWidth, mask.naturalWidth].every((pixels) => pixels >= image.clientWidth);
      });
    await expect(cards.first().locator("[style*=mask]")).toBeAttached();
    expect(await sharp()).toBe(true);
    await page.setViewportSize({ width: 1920, height: 1080 });
    expect(new Set(await tops()).size).toBe(1); // six of them side by side
    expect(await sharp()).toBe(true);
  });
});

import { expect, type Page, test } from "@playwright/test";

import { insideOf, outlinesOf } from "../lib/field";
import { decodeGreyPng, greyPng } from "../lib/png";
import { cut } from "../lib/probability";
import { at, atFullSize, canvas, click, drag, measured, part, placeOf, table } from "./gauges";
import { expectAccessible, JPEG, openSample } from "./page";

const SIDE = 900; // px of the sample

/** Answers with a map of vessels that the test knows, in place of the model's. `byte`: at the middle of a pixel. */
async function withMap(page: Page, byte: (x: number, y: number) => number): Promise<void> {
  await page.route(/predict\?format=probability/, async (route) => {
    const answer = await route.fetch();
    const { width, height } = await decodeGreyPng(new Blob([Uint8Array.from(await answer.body())]));
    const rows = new Uint8Array((width + 1) * height);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        rows[y * (width + 1) + x + 1] = Math.max(0, Math.min(255, Math.round(byte(x + 0.5, y + 0.5))));
    const map = await greyPng({ width, height }, rows);
    await route.fulfill({ response: answer, body: Buffer.from(await map.arrayBuffer()) });
  });
}

test("a ruler by a stroke, by two presses and by keys; it stays on the photograph, and is removed", async ({
  page,
}) => {
  await openSample(page);
  await atFullSize(page);
  await page.keyboard.press("l");
  await expect(page.getByRole("radio", { name: "Ruler" })).toBeChecked();
  await expect(canvas(page)).toBeFocused();
  await drag(page, [-60, -30], [60, 60]);
  await expect(measured(page)).toHaveText([/^Ruler 1150\.0 px/]);
  await expect(part(page, "Ruler 1, second end: 150.0 px")).toBeFocused();

  await click(page, -100, 100);
  await page.mouse.move(...(await at(page, -50, 100)));
  await expect(measured(page)).toHaveText([/^Ruler 1/, /^Ruler 250\.0 px/]); // the other end follows
  await click(page, -20, 100);
  await expect(measured(page)).toHaveText([/^Ruler 1/, /^Ruler 280\.0 px/]);
  await page.mouse.move(...(await at(page, 90, -90)));
  await expect(measured(page).nth(1)).toContainText("80.0 px");

  // An end is taken where it lies, and moved by keys.
  await drag(page, [-100, 100], [-120, 100]);
  await expect(measured(page).nth(1)).toContainText("100.0 px");
  await expect(part(page, /^Ruler 2, first end/)).toBeFocused();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await expect(measured(page).nth(1)).toContainText("89.0 px");
  await expect(page.locator("main").getByTestId("announcement")).toHaveText("Ruler 2: 89.0 px");
  await expect(page.locator("header bdi")).toHaveText("sample.jpg"); // no arrow went on to another photograph

  await canvas(page).focus();
  await page.keyboard.press("Space");
  await expect(measured(page)).toHaveCount(3);
  await expect(part(page, /^Ruler 3, first end/)).toBeFocused();
  await page.keyboard.press("Delete");
  await expect(measured(page)).toHaveCount(2);
  await expect(canvas(page)).toBeFocused();

  // Enlarged and moved, it lies on the same pixels.
  const before = await placeOf(page, /^Ruler 1, second end/);
  await page.mouse.move(...(await at(page, 0, 0)));
  await page.keyboard.press("+");
  await page.waitForTimeout(300);
  const after = await placeOf(page, /^Ruler 1, second end/);
  for (const axis of [0, 1]) expect(Math.abs(after[axis]! - 1.25 * before[axis]!)).toBeLessThan(1.5);
  await expect(measured(page).first()).toContainText("150.0 px");
  await page.keyboard.press("ArrowRight"); // the canvas has the focus
  await page.waitForTimeout(300);
  const moved = await placeOf(page, /^Ruler 1, second end/);
  expect(after[0] - moved[0]).toBeCloseTo(60, 0);

  await page.keyboard.press("Escape");
  await expect(page.getByRole("group", { name: "Measuring tools" })).toHaveCount(0);
  await expect(canvas(page)).toBeFocused();
  await expect(page.locator("main").getByText("1: 150.0 px")).toBeVisible(); // it stays
  await page.getByRole("button", { name: "Remove Ruler 1" }).click();
  await expect(measured(page)).toHaveText([/^Ruler 2/]);
});

test("a calliper reads the width across a vessel to a tenth of a pixel, and follows the threshold", async ({
  page,
}) => {
  // A vessel of 14 px that rises by 3 in 4 through the middle of the photograph, 30 levels a pixel at its edges.
  await withMap(page, (x, y) => {
    const aside = Math.abs(0.6 * (x - SIDE / 2) + 0.8 * (y - SIDE / 2));
    return 127.5 + 30 * (7 - aside);
  });
  await openSample(page);
  await atFullSize(page);
  await page.keyboard.press("t");
  const figure = async () => Number.parseFloat((await measured(page).last().locator("strong").textContent())!);
  await click(page, 3, 2);
  await expect.poll(figure).toBeCloseTo(14, 0);
  expect(Math.abs((await figure()) - 14)).toBeLessThanOrEqual(0.1);
  const { x1, y1, x2, y2, length_px, kind } = (await table(page))[0]!;
  const [dx, dy] = [Number(x2) - Number(x1), Number(y2) - Number(y1)];
  expect(kind).toBe("calliper");
  expect(Math.abs(Math.hypot(dx, dy) - Number(length_px))).toBeLessThan(0.03);
  expect(Math.abs((dx * 0.8 - dy * 0.6) / Math.hypot(dx, dy))).toBeLessThan(0.05); // across

  await page.getByRole("slider", { name: "Threshold" }).fill("0.7");
  await expect.poll(figure).toBeCloseTo(14 - (2 * 0.2 * 255) / 30, 0);
  expect(Math.abs((await figure()) - 10.6)).toBeLessThanOrEqual(0.1);
  await page.getByRole("slider", { name: "Threshold" }).fill("0.5");
  await click(page, -40, 34); // beside its middle
  await expect(measured(page)).toHaveCount(2);
  expect(Math.abs((await figure()) - 14)).toBeLessThanOrEqual(0.1);

  // A press beside all vessels leaves nothing, and says so; by keys it comes into the middle, and is moved from there.
  await click(page, 90, 90);
  await expect(page.getByText("No vessel here at this threshold")).toBeVisible();
  await expect(measured(page)).toHaveCount(2);
  await canvas(page).focus();
  await page.keyboard.press("Space");
  await expect(part(page, /^Width 3, place: 1[34]\.\d px/)).toBeFocused();
  await page.keyboard.press("Shift+ArrowDown");
  await page.keyboard.press("Shift+ArrowDown");
  await expect(measured(page).last()).toContainText("No vessel here at this threshold");
});

test("a region has the density of its pixels in the field of view, by the server's own mask, and follows the threshold", async ({
  page,
}) => {
  await openSample(page);
  const image = { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG };
  const answer = await page.request.post("/predict?format=probability", { multipart: { image } });
  const map = await decodeGreyPng(new Blob([Uint8Array.from(await answer.body())]));
  const field = insideOf(outlinesOf(answer.headers()["x-vesselrt-fields-of-view"]!), map);
  /** By the rule, from the corners in the table. */
  const expected = (row: Record<string, string>, threshold: number) => {
    const [left, top, right, bottom] = ["x1", "y1", "x2", "y2"].map((name) => Number(row[name])) as [
      number,
      number,
      number,
      number,
    ];
    let [vessel, all] = [0, 0];
    for (let y = 0; y < map.height; y++)
      for (let x = 0; x < map.width; x++) {
        const [u, v] = [(2 * (x + 0.5 - left)) / (right - left) - 1, (2 * (y + 0.5 - top)) / (bottom - top) - 1];
        const inside = row.kind === "ellipse" ? u * u + v * v <= 1 : u >= -1 && u < 1 && v >= -1 && v < 1;
        if (!inside || !field[y * map.width + x]) continue;
        all++;
        if (map.values[y * map.width + x]! >= cut(threshold)) vessel++;
      }
    return vessel / all;
  };
  await atFullSize(page);
  await page.keyboard.press("a");
  await drag(page, [-120, -60], [110, 80]);
  await drag(page, [320, -330], [405, -230]); // beyond the field of view, in part
  await page.keyboard.press("n");
  await drag(page, [-300, 100], [-150, 230]);
  await expect(measured(page)).toHaveText([/^Rectangle 1[\d.]+ %/, /^Rectangle 2[\d.]+ %/, /^Ellipse 3[\d.]+ %/]);
  for (const threshold of [0.5, 0.2]) {
    await page.getByRole("slider", { name: "Threshold" }).fill(String(threshold));
    for (const [number, row] of (await table(page)).entries()) {
      const density = expected(row, threshold);
      expect(Number(row.density)).toBeCloseTo(density, row.kind === "ellipse" ? 3 : 12);
      await expect(measured(page).nth(number)).toContainText(`${(100 * Number(row.density)).toFixed(1)} %`);
    }
  }
  // All of it moves by its middle.
  const before = (await table(page))[0]!;
  await part(page, /^Rectangle 1, place/).focus();
  await page.keyboard.press("Shift+ArrowLeft");
  const after = (await table(page))[0]!;
  for (const [name, by] of [
    ["x1", 10],
    ["x2", 10],
    ["y1", 0],
    ["y2", 0],
  ] as const)
    expect(Number(before[name]) - Number(after[name])).toBeCloseTo(by, 5);
});

test("a pen and fingers measure; two fingers move the picture, and leave nothing", async ({ page }) => {
  await openSample(page);
  await page.keyboard.press("l");
  type Step = readonly [type: string, id: number, x: number, y: number];
  const send = (pointerType: string, steps: readonly Step[]) =>
    canvas(page).evaluate(
      (element: HTMLCanvasElement, [pointerType, steps]: readonly [string, readonly Step[]]) => {
        element.setPointerCapture = () => {}; // which takes real pointers only
        const { left, top, width, height } = element.getBoundingClientRect();
        for (const [type, pointerId, x, y] of steps)
          element.dispatchEvent(
            new PointerEvent(type, {
              pointerId,
              pointerType,
              bubbles: true,
              clientX: left + width / 2 + x,
              clientY: top + height / 2 + y,
            }),
          );
      },
      [pointerType, steps] as const,
    );
  const stroke = (id: number, y: number): Step[] => [
    ["pointerdown", id, -50, y],
    ["pointermove", id, 0, y],
    ["pointermove", id, 50, y],
    ["pointerup", id, 50, y],
  ];
  await send("touch", stroke(1, 0));
  await expect(measured(page)).toHaveCount(1);
  const percent = page.getByRole("button", { name: /^\d+ %$/ });
  const enlarged = await percent.textContent();
  await send("touch", [
    ["pointerdown", 1, -20, 60],
    ["pointerdown", 2, 20, 60],
    ["pointermove", 2, 60, 60],
    ["pointerup", 2, 60, 60],
    ["pointerup", 1, -20, 60],
  ]);
  await expect(percent).not.toHaveText(enlarged!);
  await expect(measured(page)).toHaveCount(1);
  await send("pen", stroke(3, -60));
  await expect(measured(page)).toHaveCount(2);
  await send("touch", stroke(1, 90)); // a hand that rests on the screen
  await page.waitForTimeout(200);
  await expect(measured(page)).toHaveCount(2);
});

test("keys of a Russian and of an Arabic keyboard are those at their places", async ({ page }) => {
  await openSample(page);
  const devtools = await page.context().newCDPSession(page);
  const press = async (key: string, code: string) => {
    for (const type of ["keyDown", "keyUp"] as const)
      await devtools.send("Input.dispatchKeyEvent", { type, key, code });
  };
  const threshold = page.getByRole("slider", { name: "Threshold" });
  await press("х", "BracketLeft");
  await expect(threshold).toHaveValue("0.49");
  await press("к", "KeyR");
  await expect(threshold).toHaveValue("0.5");
  await press("م", "KeyL");
  await expect(page.getByRole("radio", { name: "Ruler" })).toBeChecked();
  await press("ف", "KeyT");
  await expect(page.getByRole("radio", { name: "Vessel width" })).toBeChecked();
  await press("ث", "KeyE"); // one at a time: to correct ends measuring
  await expect(page.getByRole("radio", { name: "Brush" })).toBeChecked();
  await expect(page.getByRole("group", { name: "Measuring tools" })).toHaveCount(0);
});

for (const [scheme, locale] of [
  ["light", "en"],
  ["dark", "ar"],
] as const) {
  test.describe(`in ${locale}, ${scheme}`, () => {
    test.use({ colorScheme: scheme, locale });

    test("axe finds nothing, and keys move to the side that they show", async ({ page }) => {
      await page.goto("/");
      await page.locator("main button").last().click();
      await expect(page.getByTestId("density")).toBeVisible();
      await page.keyboard.press("l");
      await expectAccessible(page);
      await drag(page, [-50, 0], [50, 0]);
      await page.keyboard.press("t");
      await canvas(page).focus();
      await page.keyboard.press("Space");
      await page.keyboard.press("a");
      await drag(page, [-200, 100], [-60, 200]);
      await page.keyboard.press("n");
      await drag(page, [60, 100], [200, 200]);
      const handles = page.locator("main [data-part]");
      await expect(handles).toHaveCount(9);
      await expectAccessible(page);
      const first = page.locator('[data-part="1 from"]');
      await first.focus();
      const before = (await first.boundingBox())!;
      await page.keyboard.press("Shift+ArrowRight");
      await expect.poll(async () => (await first.boundingBox())!.x).toBeGreaterThan(before.x + 5);
      await page.keyboard.press("Escape");
      await expectAccessible(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(1280);
    });
  });
}

test("with forced colours, and enlarged to 400 %, it is all there", async ({ page }) => {
  await page.emulateMedia({ forcedColors: "active" });
  await page.setViewportSize({ width: 320, height: 400 });
  await openSample(page);
  await page.keyboard.press("a");
  await canvas(page).focus();
  await page.keyboard.press("Space");
  await expect(measured(page)).toHaveText([/^Rectangle 1[\d.]+ %/]);
  const line = await page
    .locator("main div:has(> [data-part]) path")
    .last()
    .evaluate((path) => getComputedStyle(path).stroke);
  expect(line).toBe("rgb(255, 255, 255)");
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
  await expectAccessible(page);
});

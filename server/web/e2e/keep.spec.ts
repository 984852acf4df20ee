import { expect, type Page, test } from "@playwright/test";

import { addPhotographs, expectAccessible, JPEG, openFirst, smallTiff } from "./page";

const cards = (page: Page) => page.getByRole("list", { name: "Photographs" }).getByRole("listitem");
const box = (page: Page) => page.getByLabel("Keep photographs", { exact: true });

/** All that the browser holds for the page. */
function stored(page: Page) {
  return page.evaluate(async () => ({
    databases: (await indexedDB.databases()).map(({ name }) => name),
    entries: Object.keys(localStorage).filter((name) => name !== "vesselrt-look"),
    session: Object.keys(sessionStorage),
    caches: "caches" in window ? await caches.keys() : [],
    cookies: document.cookie,
  }));
}

const NOTHING = { databases: [], entries: [], session: [], caches: [], cookies: "" };

async function openTwo(page: Page): Promise<void> {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "eye-1.jpg", buffer: JPEG },
    { name: "eye-2.tif", buffer: smallTiff() },
  ]);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
}

async function keep(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Change" }).click();
  await box(page).check();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
}

/** Waits until so many photographs are in the database, all of them with their maps. */
async function expectKept(page: Page, count: number): Promise<void> {
  const maps = () =>
    page.evaluate(async () => {
      const answer = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(request.error);
        });
      const database = await answer(indexedDB.open("vesselrt-kept"));
      const all = await answer(database.transaction("photographs").objectStore("photographs").getAll());
      database.close();
      return all.filter(({ progress }) => progress.result?.map.size > 0).length;
    });
  await expect.poll(maps).toBe(count);
}

test("nothing is kept unless somebody says so, and the page says it", async ({ page }) => {
  await openTwo(page);
  await expect(page.getByText("Nothing is kept when this tab is closed.")).toBeVisible();
  expect(await stored(page)).toEqual(NOTHING);
  await page.reload();
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
});

test("who says so finds photographs, thresholds and order again; nothing is sent again; all is forgotten at a press", async ({
  page,
}) => {
  await openTwo(page);
  await openFirst(page);
  await page.getByRole("slider", { name: "Threshold" }).fill("0.3");
  await page.keyboard.press("Escape");
  await page.getByLabel("Sort by").selectOption("state");
  await expect(cards(page)).toContainText(["eye-2.tif", "eye-1.jpg"]);
  await keep(page);
  await expect(page.getByText("Photographs are kept in this browser.")).toBeVisible();
  await expectKept(page, 2);
  await page.getByRole("button", { name: "Remove eye-2.tif" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await expectKept(page, 2);
  const before = await cards(page).allInnerTexts();

  const sent: string[] = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  page.on("dialog", (dialog) => sent.push(dialog.message())); // nothing would be lost: nothing is asked
  await page.reload();
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
  await expect(cards(page).locator("[style*=mask]")).toHaveCount(2);
  expect(await cards(page).allInnerTexts()).toEqual(before);
  await expect(page.getByLabel("Sort by")).toHaveValue("state");
  await page.locator("main ol button").nth(2).click(); // eye-1.jpg
  await expect(page.getByRole("slider", { name: "Threshold" })).toHaveValue("0.3");
  expect(sent).toEqual([]);
  expect(await stored(page)).toEqual({ ...NOTHING, databases: ["vesselrt-kept"], entries: ["vesselrt-keep"] });

  await page.getByRole("button", { name: "Change" }).click();
  await page.getByRole("button", { name: "Forget everything" }).click();
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
  await expect.poll(() => stored(page)).toEqual(NOTHING);
  await page.reload();
  await expect(page.getByText("Nothing is kept when this tab is closed.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
});

test("two tabs keep side by side, and what one forgets the other keeps no more", async ({ page, context }) => {
  await openTwo(page);
  await keep(page);
  await expectKept(page, 2);
  const other = await context.newPage();
  await other.goto("/");
  await expect(other.getByText("2 of 2 done").first()).toBeVisible();
  await other.locator("header input[type=file]").setInputFiles({ name: "eye-3.jpg", mimeType: "", buffer: JPEG });
  await expect(other.getByText("3 of 3 done").first()).toBeVisible();
  await expectKept(other, 3);
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByRole("button", { name: "Forget everything" }).click();
  await expect(other.getByText("Nothing is kept when this tab is closed.")).toBeVisible();
  await expect(cards(other)).toHaveCount(3); // what is on its screen stays there
  await expect.poll(() => stored(other)).toEqual(NOTHING);
});

test("a browser without room says what is not kept, and asks before the tab is closed", async ({ page }) => {
  await page.addInitScript(() => {
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function (value, key) {
      if (value.file.name === "eye-2.tif") throw new DOMException("no room", "QuotaExceededError");
      return put.call(this, value, key);
    };
  });
  await openTwo(page);
  await keep(page);
  await expectKept(page, 1);
  await expect(page.getByText("There is no room left in this browser. Not kept: eye-2.tif").first()).toBeVisible();
  await expectAccessible(page);
});

test("a browser that forbids it, as some do in private windows, says so, and the page works", async ({ page }) => {
  await page.addInitScript(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("not here", "SecurityError");
    };
  });
  await openTwo(page);
  await page.getByRole("button", { name: "Change" }).click();
  await box(page).click();
  await expect(
    page.getByRole("dialog").getByText("This browser does not allow the page to keep anything."),
  ).toBeVisible();
  await expect(box(page)).not.toBeChecked();
  await page.keyboard.press("Escape");
  await openFirst(page);
  await page.reload();
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
});

test("what a newer page has kept is told and can be forgotten; what is damaged is left out", async ({ page }) => {
  const put = (version: number, value: unknown) =>
    page.evaluate(
      ([version, value]) =>
        new Promise<void>((resolve) => {
          localStorage.setItem("vesselrt-keep", "name");
          const opening = indexedDB.open("vesselrt-kept", version as number);
          opening.onupgradeneeded = () => opening.result.createObjectStore("photographs");
          opening.onsuccess = () => {
            const transaction = opening.result.transaction("photographs", "readwrite");
            transaction.objectStore("photographs").put(value, "a");
            transaction.oncomplete = () => {
              opening.result.close();
              resolve();
            };
          };
        }),
      [version, value] as const,
    );
  await page.goto("/");
  await put(1, { file: "no file", progress: { step: "done" } });
  await page.reload();
  await expect(page.getByText("Photographs are kept in this browser.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Show the sample" })).toBeVisible();
  await page.getByRole("button", { name: "Change" }).click();
  await box(page).uncheck();
  await expect.poll(() => stored(page)).toEqual(NOTHING);
  await put(99, {});
  await page.reload();
  await expect(page.getByText("What was kept can’t be read.").first()).toBeVisible();
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByRole("button", { name: "Forget everything" }).click();
  await expect.poll(() => stored(page)).toEqual(NOTHING);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing in the choice, ${colorScheme}, on a phone`, async ({ page }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ colorScheme });
    await page.goto("/");
    await page.getByRole("button", { name: "Change" }).click();
    await expect(box(page)).toBeVisible();
    await expectAccessible(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  });
}

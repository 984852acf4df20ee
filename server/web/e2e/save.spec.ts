import { readFileSync } from "node:fs";

import { expect, type Page, test } from "@playwright/test";

import { addPhotographs, expectAccessible, fromApi, JPEG, smallTiff } from "./page";

const NAMES = ["Иванов OD.jpg", "患者1右.jpg", "العين اليمنى.jpg"];

async function openAll(page: Page): Promise<void> {
  await page.goto("/");
  await addPhotographs(page, [
    ...NAMES.map((name) => ({ name, buffer: JPEG })),
    { name: "notes.pdf", buffer: Buffer.from("%PDF-1.7\n1 0 obj\n") },
  ]);
  await expect(page.getByText("3 of 4 done").first()).toBeVisible();
}

async function choose(page: Page, what: RegExp): Promise<void> {
  await page.getByRole("button", { name: "Save all" }).click();
  await page.getByRole("menuitem", { name: what }).click();
}

async function saved(page: Page, what: RegExp): Promise<{ name: string; content: Buffer }> {
  const downloading = page.waitForEvent("download", { timeout: 120_000 });
  await choose(page, what);
  const download = await downloading;
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

/** The cells of a table, by row and column. No cell of these tests holds a line break. */
function cellsOf(content: Buffer): Map<string, Map<string, string>> {
  const rows = content
    .toString("utf8")
    .replace("\ufeff", "")
    .trim()
    .split("\r\n")
    .map((line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, cell]) => cell!));
  const [head, ...others] = rows;
  return new Map(others.map((row) => [row[0]!, new Map(head!.map((name, at) => [name, row[at]!]))]));
}

test("the table with measurements has the server's figures, under the names of vesselrt measure", async ({ page }) => {
  await openAll(page);
  const { name, content } = await saved(page, /Table with measurements/);
  expect(name).toBe("vessels.csv");
  const rows = cellsOf(content);
  const { measurements } = JSON.parse(String(await fromApi(page, "json", 0.5, { measure: "true" })));
  for (const file of NAMES) {
    const row = rows.get(file)!;
    for (const [figure, value] of Object.entries(measurements.figures))
      expect(row.get(figure), figure).toBe(value === null ? "" : String(value));
    expect(row.get("reasons")).toContain("calibre_mean_um");
    expect(row.get("scale")).toBe("found");
  }
  expect(Object.keys(measurements.figures)).toContain("fractal_d1");
  expect(rows.get("notes.pdf")!.get("density")).toBe("");
  expect(rows.get("notes.pdf")!.get("error")).toContain("could not be opened");
  await expect(page.getByText("Table saved. Measured: 3 of 3.")).toBeVisible();
});

test("measuring is stopped at a press, and nothing is saved", async ({ page }) => {
  await openAll(page);
  await page.route("**/predict?format=json*", () => undefined); // which never answers
  await choose(page, /Table with measurements/);
  await expect(page.getByText("Measuring: 0 of 3")).toBeVisible();
  await expectAccessible(page);
  let downloads = 0;
  page.on("download", () => downloads++);
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByText("Cancelled. Nothing was saved.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Save all" })).toHaveAttribute("aria-disabled", "false");
  expect(downloads).toBe(0);
});

test("a server that can't measure says why, in the table too", async ({ page }) => {
  await openAll(page);
  const message = "measuring vessels needs packages that are not installed. Run: pip install 'vesselrt[measure]'";
  let asked = 0;
  await page.route("**/predict?format=json*", (route) => {
    asked++;
    return route.fulfill({ status: 501, json: { error: { type: "MissingExtraError", message } } });
  });
  const rows = cellsOf((await saved(page, /Table with measurements/)).content);
  expect(asked).toBe(1);
  for (const file of NAMES) expect(rows.get(file)!.get("reasons")).toBe(message);
  expect(Number(rows.get(NAMES[0]!)!.get("density"))).toBeGreaterThan(0.05);
  await expect(page.getByText(`Measured: 0 of 3. ${message}`)).toBeVisible();
});

test("the report has a page for each photograph, with names in any letters, and asks no server", async ({ page }) => {
  await openAll(page);
  const requests: string[] = [];
  page.on("request", (request) => !request.url().startsWith("blob:") && requests.push(request.url()));
  const { name, content } = await saved(page, /Report/);
  expect(name).toBe("vessels.pdf");
  expect(requests).toEqual([]);
  const text = content.toString("latin1");
  expect(text.match(/\/Type\/Page\//g)).toHaveLength(3);
  const hex = (letters: string) => Buffer.from(letters, "utf16le").swap16().toString("hex");
  for (const file of NAMES) expect(text).toContain(`/Title<feff${hex(file)}>`);
  expect(text).toContain(hex("Not a medical device."));
  // Each object lies where the table says.
  const table = /xref\n0 (\d+)\n0{10} 65535 f \n((?:\d{10} 00000 n \n)+)/.exec(text)!;
  const places = table[2]!
    .trim()
    .split("\n")
    .map((line) => Number.parseInt(line, 10));
  expect(places).toHaveLength(Number(table[1]) - 1);
  for (const [index, place] of places.entries()) expect(text.slice(place).startsWith(`${index + 1} 0 obj`)).toBe(true);
  expect(text.indexOf("xref\n0")).toBe(Number(/startxref\n(\d+)/.exec(text)![1]));
  // On a page there are the photograph, red, and beside it the same with vessels, blue.
  const start = text.indexOf("stream\n", text.indexOf("/DCTDecode")) + 7;
  const length = Number(/\/DCTDecode\/Length (\d+)/.exec(text)![1]);
  const shares = await page.evaluate(
    async (bytes) => {
      const bitmap = await createImageBitmap(new Blob([Uint8Array.from(bytes)]));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      const share = (left: number, wanted: (red: number, blue: number) => boolean) => {
        const { data } = context.getImageData(left, 0, bitmap.width / 2, bitmap.height / 2);
        let count = 0;
        for (let at = 0; at < data.length; at += 4) if (wanted(data[at]!, data[at + 2]!)) count++;
        return count / (data.length / 4);
      };
      const red = (red: number, blue: number) => red > blue + 60;
      const blue = (red: number, blue: number) => blue > red + 30;
      const half = bitmap.width / 2;
      return {
        size: [bitmap.width, bitmap.height],
        red: share(0, red),
        left: share(0, blue),
        right: share(half, blue),
      };
    },
    [...content.subarray(start, start + length)],
  );
  expect(shares.size).toEqual([1654, 2339]);
  expect(shares.red).toBeGreaterThan(0.1);
  expect(shares.left).toBeLessThan(0.001);
  expect(shares.right).toBeGreaterThan(0.01);
});

test("a photograph that the browser can't show has a page too", async ({ page }) => {
  await page.goto("/");
  await addPhotographs(page, [
    { name: "a.tif", buffer: smallTiff() },
    { name: "b.tif", buffer: smallTiff() },
  ]);
  await expect(page.getByText("2 of 2 done").first()).toBeVisible();
  const { content } = await saved(page, /Report/);
  expect(content.toString("latin1").match(/\/Type\/Page\//g)).toHaveLength(2);
  await expect(page.getByText("PDF saved. Pages: 2.")).toBeVisible();
});

import { readFileSync } from "node:fs";

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

export const SAMPLE = new URL("../assets/sample.jpg", import.meta.url).pathname;
/** Of the server that asks for one. */
export const KEY = "a-key-for-the-tests";
export const JPEG = readFileSync(SAMPLE);

/** The port of the server of a model of two classes, of which a pixel belongs to one at most. */
export const EXCLUSIVE = 8767;

/** The port of the server of two models: fundus, and one of two classes. */
export const SEVERAL = 8768;

/** How the page shows vessels before another look is chosen. */
export const LOOK = { colour: "#33ccff", opacity: "0.75" };

/** Asserts that axe finds nothing, with the rules for targets' sizes and for names that hold what is seen. */
export async function expectAccessible(page: Page): Promise<void> {
  // With forced colours axe compares the page's own text colour, which is not drawn, with the system's background.
  const forced = await page.evaluate(() => matchMedia("(forced-colors: active)").matches);
  const rules = {
    "target-size": { enabled: true },
    "label-content-name-mismatch": { enabled: true },
    "color-contrast": { enabled: !forced },
  };
  expect((await new AxeBuilder({ page }).options({ rules }).analyze()).violations).toEqual([]);
}

/** Opens the page and waits until the sample has been analysed. */
export async function openSample(page: Page, button = /Mask PNG/): Promise<void> {
  await page.goto("/");
  await page.getByRole("button", { name: "Show the sample" }).click();
  await expect(page.getByText("Vessels found.")).toBeAttached();
  await expect(page.getByRole("button", { name: button })).toBeVisible();
}

/** Chooses files on the page that has none yet. */
export async function addPhotographs(page: Page, files: readonly { name: string; buffer: Buffer }[]): Promise<void> {
  const photographs = files.map((file) => ({ ...file, mimeType: "" }));
  await page.locator("main input[type=file]").first().setInputFiles(photographs);
}

/** Opens the first photograph of the worklist. */
export async function openFirst(page: Page): Promise<void> {
  await page.locator("main ol button").first().click();
  await expect(page.getByRole("list", { name: "Photographs" }).locator("[aria-current=true]")).toBeVisible();
}

/** What the API answers for the sample. */
export async function fromApi(
  page: Page,
  format: string,
  threshold: number | string,
  look: Record<string, string> = {},
): Promise<Buffer> {
  const image = { name: "sample.jpg", mimeType: "image/jpeg", buffer: JPEG };
  const query = new URLSearchParams({ format, threshold: String(threshold), ...look });
  const answer = await page.request.post(`/predict?${query}`, { multipart: { image } });
  expect(answer.status()).toBe(200);
  return answer.body();
}

/** Asserts that every download is, byte by byte, what the API answers for the sample. */
export async function expectDownloads(page: Page, threshold: number): Promise<void> {
  for (const [button, format] of [
    ["Mask PNG", "mask"],
    ["Overlay PNG", "overlay"],
    ["Outlines SVG", "svg"],
    ["Outlines GeoJSON", "geojson"],
  ] as const) {
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: button }).click();
    const download = await downloading;
    const suffix = format === "svg" || format === "geojson" ? format : "png";
    expect(download.suggestedFilename()).toBe(`sample-${format}.${suffix}`);
    const saved = readFileSync(await download.path());
    expect(saved.equals(await fromApi(page, format, threshold, LOOK)), format).toBe(true);
  }
}

/** Of each value of a mask of the API the colour that it has on the screen. */
type Inks = Readonly<Record<number, readonly [number, number, number]>>;

const WHITE: Inks = { 255: [255, 255, 255] };

/** Red, green and blue of a PNG's pixels in the middle, row by row. */
export async function pixelsInTheMiddle(page: Page, png: Buffer, side: number): Promise<number[][]> {
  return page.evaluate(
    async ([base64, side]) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes]));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      const [left, top] = [bitmap.width, bitmap.height].map((length) => Math.floor((length - side) / 2));
      const { data } = context.getImageData(left!, top!, side, side);
      return Array.from({ length: side * side }, (_, pixel) => [...data.subarray(4 * pixel, 4 * pixel + 3)]);
    },
    [png.toString("base64"), side] as const,
  );
}

/** Asserts that what the canvas shows at 100 % is, pixel by pixel, the mask of the API. */
export async function expectMaskOnScreen(page: Page, threshold: number | string, inks = WHITE): Promise<void> {
  await page.keyboard.press("m");
  await page.keyboard.press("1");
  await page.waitForTimeout(500);
  const mask = (await fromApi(page, "mask", threshold)).toString("base64");
  const canvas = page.locator("main canvas");
  const { width, height } = await canvas.evaluate(({ width, height }: HTMLCanvasElement) => ({ width, height }));
  await page.addStyleTag({ content: "canvas ~ * { visibility: hidden }" }).catch(() => undefined);
  const shot = (await canvas.screenshot()).toString("base64");
  const differing = await page.evaluate(
    async ([seen, wanted, width, height, inks]) => {
      const pixels = async (base64: string) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes]));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
        context.drawImage(bitmap, 0, 0);
        return context.getImageData(0, 0, bitmap.width, bitmap.height);
      };
      const [screen, file] = [await pixels(seen), await pixels(wanted)];
      // The controls lie over the corners: a square in the middle is compared.
      const side = 500;
      const at = (image: ImageData, x: number, y: number) => {
        const place = 4 * (y * image.width + x);
        return image.data.subarray(place, place + 3);
      };
      const fileLeft = (file.width - side) / 2;
      const fileTop = (file.height - side) / 2;
      // The middle of the file lies on the middle of the canvas; a screenshot may be a row longer than the canvas.
      const left = fileLeft - Math.round(file.width / 2 - width / 2);
      const top = fileTop - Math.round(file.height / 2 - height / 2);
      let count = 0;
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const ink = inks[at(file, fileLeft + x, fileTop + y)[0]!] ?? [0, 0, 0];
          if (at(screen, left + x, top + y).some((value, channel) => value !== ink[channel])) count++;
        }
      }
      return count;
    },
    [shot, mask, width, height, inks] as const,
  );
  expect(differing).toBe(0);
}

/** A disc of one colour on black, as the plainest TIFF: 8-bit RGB in one strip, without compression. */
export function smallTiff(): Buffer {
  const side = 400;
  const pixels = Buffer.alloc(side * side * 3);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      if (Math.hypot(x - side / 2, y - side / 2) < 0.45 * side) pixels.set([200, 90, 40], 3 * (y * side + x));
  const entries = [
    [256, 4, 1, side], // width
    [257, 4, 1, side], // height
    [258, 3, 3, 134], // bits of each sample: where they stand
    [259, 3, 1, 1], // no compression
    [262, 3, 1, 2], // RGB
    [273, 4, 1, 140], // where the strip begins
    [277, 3, 1, 3], // samples a pixel
    [278, 4, 1, side], // rows in the strip
    [279, 4, 1, pixels.length],
    [284, 3, 1, 1], // samples of a pixel side by side
  ] as const;
  const head = Buffer.alloc(140);
  head.write("II*\0", "latin1");
  head.writeUInt32LE(8, 4);
  head.writeUInt16LE(entries.length, 8);
  entries.forEach(([tag, type, count, value], index) => {
    const at = 10 + 12 * index;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(type, at + 2);
    head.writeUInt32LE(count, at + 4);
    head.writeUInt32LE(value, at + 8);
  });
  for (const at of [134, 136, 138]) head.writeUInt16LE(8, at);
  return Buffer.concat([head, pixels]);
}

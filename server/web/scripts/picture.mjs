// docs/pictures/page.png, of the photographs of a folder, by a server that runs:
// node scripts/picture.mjs DATA/CHASE_DB1 [http://127.0.0.1:8000]

import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "@playwright/test";

const PHOTOGRAPHS = 8;
const [folder, address = "http://127.0.0.1:8000"] = process.argv.slice(2);
const photographs = readdirSync(folder)
  .filter((name) => name.endsWith(".jpg"))
  .sort()
  .slice(0, PHOTOGRAPHS)
  .map((name) => join(folder, name));

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 880 } });
await page.goto(address);
await page.locator("input[type=file]").first().setInputFiles(photographs);
// Each has its density.
await page
  .getByText(/^\d+\.\d %$/)
  .nth(PHOTOGRAPHS - 1)
  .waitFor();
await page
  .getByRole("button", { name: new RegExp(basename(photographs[0])) })
  .first()
  .click();
await page.getByTestId("density").waitFor();
await page.getByText("Compare with the original").click();
await page.waitForTimeout(1000); // the picture has its place
await page.screenshot({ path: fileURLToPath(new URL("../../../docs/pictures/page.png", import.meta.url)) });
await browser.close();

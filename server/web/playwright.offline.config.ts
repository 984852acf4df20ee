import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { defineConfig } from "@playwright/test";

import whole from "./playwright.config";

const FOLDER = "../../web-offline";
const [PLAIN, ISOLATED] = [8768, 8769];
const addressOf = (port: number) => `http://127.0.0.1:${port}`;
const serverOf = (port: number, headers: string) => ({
  url: `${addressOf(port)}/vessels/`,
  command: `node e2e/static.mjs ${port} ${FOLDER} ${headers}`,
});

/** The page without a server, which `make web-offline` has built: on one thread, and on several where headers allow it. */
export default defineConfig({
  ...whole,
  timeout: 300_000,
  outputDir: mkdtempSync(join(tmpdir(), "vesselrt-page-")),
  projects: [
    { name: "offline", testMatch: "offline.spec.ts", use: { baseURL: addressOf(PLAIN) } },
    { name: "threads", testMatch: "offline.spec.ts", grep: /finds/, use: { baseURL: addressOf(ISOLATED) } },
  ],
  webServer: [serverOf(PLAIN, ""), serverOf(ISOLATED, "isolated")],
});

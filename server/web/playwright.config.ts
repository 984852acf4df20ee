import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { defineConfig } from "@playwright/test";

import { KEY } from "./e2e/page";

const PORT = 8764;
const LOCKED = 8765; // a server that asks for a key
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const quiet = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const addressOf = (port: number) => `http://127.0.0.1:${port}`;

export default defineConfig({
  testDir: "e2e",
  workers: 1, // the server works on one photograph at a time
  timeout: 180_000, // of a test on a machine that is busy otherwise
  expect: { timeout: 60_000 },
  forbidOnly: true,
  outputDir: join(mkdtempSync(join(tmpdir(), "vesselrt-page-"))),
  reporter: "list",
  use: {
    baseURL: addressOf(PORT),
    viewport: { width: 1280, height: 800 },
    launchOptions: { executablePath, args: quiet },
  },
  projects: [
    { name: "page", testMatch: "whole.spec.ts" },
    { name: "key", testMatch: "key.spec.ts", use: { baseURL: addressOf(LOCKED) } },
    {
      name: "webgl",
      testMatch: "webgl.spec.ts",
      use: {
        launchOptions: { executablePath, args: [...quiet, "--use-angle=swiftshader", "--enable-unsafe-swiftshader"] },
      },
    },
  ],
  webServer: [PORT, LOCKED].map((port) => ({
    command: `${process.env.VESSELRT || "../../.venv/bin/vesselrt"} serve --port ${port}`,
    env: port === LOCKED ? { VESSELRT_API_KEY: KEY } : {},
    url: `${addressOf(port)}/health/ready`,
    timeout: 60_000,
  })),
});

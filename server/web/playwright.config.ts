import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { defineConfig } from "@playwright/test";

const PORT = 8764;
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const quiet = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export default defineConfig({
  testDir: "e2e",
  workers: 1, // the server works on one photograph at a time
  timeout: 60_000,
  forbidOnly: true,
  outputDir: join(mkdtempSync(join(tmpdir(), "vesselrt-page-"))),
  reporter: "list",
  use: { baseURL: `http://127.0.0.1:${PORT}`, viewport: { width: 1280, height: 800 } },
  projects: [
    {
      name: "webgl",
      testIgnore: /canvas\.spec/,
      use: {
        // In software, so that it runs on a machine without a graphics card.
        launchOptions: {
          executablePath,
          args: [...quiet, "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        },
      },
    },
    {
      name: "canvas",
      testMatch: /canvas\.spec/,
      use: { launchOptions: { executablePath, args: [...quiet, "--disable-gpu", "--disable-3d-apis"] } },
    },
  ],
  webServer: {
    command: `${process.env.VESSELRT || "../../.venv/bin/vesselrt"} serve --port ${PORT}`,
    url: `http://127.0.0.1:${PORT}/health/ready`,
    timeout: 60_000,
  },
});

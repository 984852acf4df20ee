import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { defineConfig } from "@playwright/test";

import { EXCLUSIVE, KEY, SEVERAL } from "./e2e/page";

const PORT = 8764;
const LOCKED = 8765; // a server that asks for a key
const CLASSES = 8766; // of a model of two classes
const vesselrt = process.env.VESSELRT || "../../.venv/bin/vesselrt";
const python = join(dirname(vesselrt), "python");
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
    {
      name: "page",
      testMatch: [
        "whole",
        "worklist",
        "save",
        "keep",
        "dicom",
        "unsure",
        "undo",
        "correct",
        "measure",
        "scale",
        "series",
        "trouble",
        "screens",
        "access",
        "proxy",
        "languages",
      ].map((name) => `${name}.spec.ts`),
    },
    { name: "classes", testMatch: "classes.spec.ts", use: { baseURL: addressOf(CLASSES) } },
    { name: "exclusive", testMatch: "classes.spec.ts", use: { baseURL: addressOf(EXCLUSIVE) } },
    { name: "models", testMatch: "models.spec.ts", use: { baseURL: addressOf(SEVERAL) } },
    { name: "key", testMatch: "key.spec.ts", use: { baseURL: addressOf(LOCKED) } },
    {
      name: "webgl",
      testMatch: "webgl.spec.ts",
      use: {
        launchOptions: { executablePath, args: [...quiet, "--use-angle=swiftshader", "--enable-unsafe-swiftshader"] },
      },
    },
  ],
  webServer: [
    { port: PORT, command: `${vesselrt} serve --port ${PORT}` },
    { port: LOCKED, command: `${vesselrt} serve --port ${LOCKED}`, env: { VESSELRT_API_KEY: KEY } },
    { port: CLASSES, command: `${python} ../../tests/two_classes.py ${CLASSES} independent` },
    { port: EXCLUSIVE, command: `${python} ../../tests/two_classes.py ${EXCLUSIVE} exclusive` },
    { port: SEVERAL, command: `${python} ../../tests/two_classes.py ${SEVERAL} independent fundus` },
  ].map(({ port, ...server }) => ({ ...server, url: `${addressOf(port)}/health/ready`, timeout: 120_000 })),
});

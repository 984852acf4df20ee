// Puts the built page where the server and the wheel find it: what a browser asks for, nothing else of Next's export.

import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const from = fileURLToPath(new URL("../out/", import.meta.url));
const to = fileURLToPath(new URL("../../static/page/", import.meta.url));

rmSync(to, { recursive: true, force: true });
for (const part of ["index.html", "_next/static"]) cpSync(from + part, to + part, { recursive: true });

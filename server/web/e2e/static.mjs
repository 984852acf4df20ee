// A server of static files, as plain as they come: node e2e/static.mjs PORT FOLDER [isolated]
// The files are below /vessels/, and nothing else is there. "isolated": with the two headers that browsers want before they
// give a page several threads.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const BELOW = "/vessels/";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".txt": "text/plain; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
  ".jpg": "image/jpeg",
  ".woff2": "font/woff2",
};
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Listens on 127.0.0.1 and returns Node's server. */
export function serve(port, folder, isolated) {
  const server = createServer(({ method, url }, answer) => {
    const path = normalize(decodeURIComponent(new URL(url, "http://localhost").pathname));
    const file = join(folder, path.slice(BELOW.length) || "index.html");
    const found = path.startsWith(BELOW) && statSync(file, { throwIfNoEntry: false })?.isFile();
    if (method !== "GET" || !found) {
      answer.writeHead(method === "GET" ? 404 : 405).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    answer.writeHead(200, { ...(isolated && ISOLATED), "Content-Type": type });
    createReadStream(file).pipe(answer);
  });
  return server.listen(port, "127.0.0.1");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, folder, isolated] = process.argv.slice(2);
  serve(Number(port), folder, isolated === "isolated");
}

// What many photographs of 12 megapixels cost the page, in Chromium on this machine: its memory, and every task of its main
// thread that took more than 50 ms after it was loaded.
//
//   node e2e/many.mjs http://127.0.0.1:8000 [200 [3840x2160]]     for a server that is running, so many photographs, and a
//   window of that size
//
// The server analyses the first photograph. Its answer is given for the others too, so that the page is measured and not the
// server. A task counts with the time that its thread worked: on a machine that does other work too, a clock on the wall
// tells how long it waited. Memory is that of all of Chromium's processes, what they share counted once.

import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "@playwright/test";

import { enlarged } from "./enlarged.mjs";

const [url = "http://127.0.0.1:8000", count = "200", window = "1280x800"] = process.argv.slice(2);
const LONG = 50; // ms
const MIB = 2 ** 20;
const PATIENT = { timeout: 3_000_000, polling: 1000 };

/** A server that passes all on to another one, but answers every photograph as it answered the first. */
async function standIn(origin) {
  let first = null;
  const ask = async (request, body) => {
    const { "content-length": _, connection: __, ...headers } = request.headers;
    const answer = await fetch(origin + request.url, { method: request.method, headers, ...(body.length && { body }) });
    return { status: answer.status, headers: [...answer.headers], body: Buffer.from(await answer.arrayBuffer()) };
  };
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const photograph = request.url.startsWith("/predict?format=probability");
    if (photograph && !first) first = ask(request, Buffer.concat(parts));
    const answer = await (photograph ? first : ask(request, Buffer.concat(parts)));
    response.statusCode = answer.status;
    for (const [name, value] of answer.headers)
      if (!["content-encoding", "content-length", "transfer-encoding"].includes(name)) response.setHeader(name, value);
    response.end(answer.body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Bytes of all processes that a process has begun, itself too. */
function memoryOf(root) {
  const children = new Map();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const parent = / \(.*\) . (\d+)/s.exec(readFileSync(`/proc/${id}/stat`, "utf8"))[1];
      children.set(parent, [...(children.get(parent) ?? []), id]);
    } catch {} // it has ended
  }
  const all = [String(root)];
  for (const id of all) all.push(...(children.get(id) ?? []));
  return all.reduce((sum, id) => {
    try {
      return sum + 1024 * Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, "utf8"))[1]);
    } catch {
      return sum;
    }
  }, 0);
}

/** Tasks of the page's main thread, as Chromium's tracing notes them. Times are in ms. */
function tasksIn(events, mainThreads) {
  const own = events.filter(({ ph, pid, tid, dur }) => ph === "X" && dur && mainThreads.has(`${pid} ${tid}`));
  const tasks = own.filter(({ name }) => name === "ThreadControllerImpl::RunTask");
  return tasks
    .map((task) => ({ ...task, worked: (task.tdur ?? task.dur) / 1000, took: task.dur / 1000 }))
    .map((task) => ({ ...task, parts: task.worked > LONG / 2 ? partsOf(task, own) : [] }));
}

/** What a task did that took longest. */
function partsOf({ ts, dur, pid, tid }, events) {
  return events
    .filter((one) => one.pid === pid && one.tid === tid && one.ts >= ts && one.ts + one.dur <= ts + dur)
    .filter(({ name }) => !/RunTask/.test(name))
    .sort((one, other) => other.dur - one.dur)
    .slice(0, 6)
    .map(({ name, dur, args }) => {
      const { functionName = "", url: script = "", lineNumber = "", columnNumber = "" } = args?.data ?? {};
      const where = script && ` ${functionName}@${script.split("/").at(-1)}:${lineNumber}:${columnNumber}`;
      return `${name}${where} ${(dur / 1000).toFixed(0)}`;
    });
}

async function traced(session, work) {
  const events = [];
  const collect = ({ value }) => events.push(...value);
  session.on("Tracing.dataCollected", collect);
  const categories = "toplevel,devtools.timeline,disabled-by-default-devtools.timeline,blink.user_timing,__metadata";
  await session.send("Tracing.start", { categories, transferMode: "ReportEvents" });
  await work();
  const complete = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.end");
  await complete;
  session.off("Tracing.dataCollected", collect);
  return events;
}

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const server = await standIn(url);
const folder = mkdtempSync(join(tmpdir(), "vesselrt-many-"));
const browser = await chromium.launchServer({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const [width, height] = window.split("x").map(Number);
const client = await chromium.connect(browser.wsEndpoint());
// What it waits for is code in text, which the rules of the page (CSP) forbid.
const page = await client.newPage({ viewport: { width, height }, bypassCSP: true });
const session = await page.context().newCDPSession(page);
const heap = async () => (await session.send("Runtime.getHeapUsage")).usedSize;
const seen = { memory: 0, heap: 0 };
const watch = setInterval(async () => {
  seen.memory = Math.max(seen.memory, memoryOf(browser.process().pid));
  seen.heap = Math.max(seen.heap, await heap().catch(() => 0));
}, 1000);
const told = [];

/** Does something, and tells what the page's main thread worked at once for long. */
async function step(name, work) {
  Object.assign(seen, { memory: 0, heap: 0 });
  const begin = performance.now();
  let finish;
  const events = await traced(session, async () => {
    await page.evaluate(() => window.long.splice(0));
    await work();
    finish = performance.now();
  });
  const long = await page.evaluate(() => window.long);
  const threads = new Set(
    events
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = tasksIn(events, threads).sort((one, other) => other.worked - one.worked);
  const over = tasks.filter(({ worked }) => worked > LONG);
  const figures = [
    `${((finish - begin) / 1000).toFixed(0)} s`,
    `${over.length} tasks worked over ${LONG} ms`,
    `longest ${(tasks[0]?.worked ?? 0).toFixed(0)} ms`,
    `${long.length} took longer by the clock, longest ${Math.max(0, ...long).toFixed(0)} ms`,
    `memory ${(seen.memory / MIB).toFixed(0)} MiB, of it scripts ${(seen.heap / MIB).toFixed(0)}`,
  ];
  console.log(`${name.padEnd(18)} ${figures.join("; ")}`);
  for (const { worked, took, parts } of tasks.slice(0, process.env.TASKS ?? 3))
    if (worked > LONG / 2) console.log(`    ${worked.toFixed(0)} ms (${took.toFixed(0)}): ${parts.join(", ")}`);
  told.push(over.length);
}

try {
  await page.addInitScript(() => {
    window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
    });
  });
  await page.goto(server.address);
  const buffer = Buffer.from(await page.evaluate(enlarged));
  const names = Array.from({ length: Number(count) }, (_, number) => join(folder, `eye-${number + 1}.jpg`));
  writeFileSync(names[0], buffer);
  for (const name of names.slice(1)) linkSync(names[0], name);
  await page.waitForTimeout(2000);
  console.log(
    `${cpus()[0].model}, ${cpus().length} threads; ${client.version()}; ${count} photographs, ${buffer.length} bytes each`,
  );
  console.log(`empty page: ${(memoryOf(browser.process().pid) / MIB).toFixed(0)} MiB`);
  // Found by selectors: to look through 200 photographs for a role and a name is itself a long task.
  const covered = () =>
    page.waitForFunction((count) => document.querySelectorAll("main ol [style*=mask]").length >= count, Number(count), {
      timeout: 3_000_000,
      polling: 1000,
    });
  await step("analyse", async () => {
    await page.locator("main input[type=file]").first().setInputFiles(names);
    await covered();
  });
  await step("scroll", async () => {
    for (let way = 0; way < 40; way++) {
      await page.mouse.move(600, 500);
      await page.mouse.wheel(0, way < 20 ? 900 : -900);
      await page.waitForTimeout(100);
    }
  });
  await step("look at ten", async () => {
    await page.locator("main ol button").first().click();
    for (let number = 0; number < 10; number++) {
      await page.waitForTimeout(1500);
      await page.keyboard.press("ArrowRight");
    }
    await page.keyboard.press("[");
    await page.waitForTimeout(500);
  });
  await step("apply to all", async () => {
    await page.locator("button", { hasText: /to all/i }).click();
    await page.keyboard.press("Escape");
    const masks = () => [...document.querySelectorAll("main ol [style*=mask]")].map((one) => one.getAttribute("style"));
    await page.evaluate(`window.masks = (${masks})()`);
    await page.waitForFunction(`!(${masks})().some((one) => window.masks.includes(one))`, null, PATIENT);
  });
  await step("report", async () => {
    const downloading = page.waitForEvent("download", PATIENT);
    await page.locator("[aria-haspopup=menu]").click();
    await page.locator("[role=menuitem]", { hasText: "PDF" }).click();
    await downloading;
  });
  await step("keep", async () => {
    await page.locator("button", { hasText: "Change" }).click();
    await page.locator("dialog[open] input[type=checkbox]").click();
    await page.keyboard.press("Escape");
    await page.waitForFunction(
      async (count) => {
        const answer = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
        const database = await answer(indexedDB.open("vesselrt-kept"));
        const all = await answer(database.transaction("photographs").objectStore("photographs").count());
        database.close();
        return all === count;
      },
      Number(count),
      PATIENT,
    );
  });
  await step("load it again", async () => {
    await page.reload();
    await covered();
  });
} finally {
  clearInterval(watch);
  await browser.close();
  server.close();
  rmSync(folder, { recursive: true });
}
process.exitCode = told.some(Boolean) ? 1 : 0;

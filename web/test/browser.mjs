// A page's folder behind a server, and Chromium: Debian's, or the one that CHROMIUM names.

import { createServer } from "node:http";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";
import { watchShifts } from "./look.mjs";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const skip = !existsSync(executablePath) && !process.env.CANDOR_REQUIRE_CHROMIUM && "needs Chromium";
const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png" };
/** The page is served below its own path, as on a site with several pages. */
export const BELOW = "/some/where/";
const QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = (...args) => chromium.launch({ executablePath, args: [...QUIET, ...args] });

/** Serves a folder; `replaced(name, bytes)` may return another content. Requests are recorded in `requests`. */
export async function served(folder, replaced = (_, bytes) => bytes) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push([request.method, request.url]);
    const name = request.url.startsWith(BELOW) ? request.url.slice(BELOW.length).split("?")[0] || "index.html" : "";
    const file = join(folder, decodeURIComponent(name));
    if (!name || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" }).end(replaced(name, readFileSync(file)));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { requests, url: `http://127.0.0.1:${server.address().port}${BELOW}`, close: () => server.close() };
}

/** A loaded page, and the messages of its console. */
export async function visited(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await watchShifts(page);
  await page.goto(url);
  await page.waitForSelector("body[data-ready]", { timeout: 60_000 });
  return { context, page, said };
}

export const mapsAreThere = (page) =>
  page.waitForFunction(() => document.querySelectorAll(".card").length && !document.querySelector(".card progress"), null, { timeout: 120_000 });

/** The content of the page's results file. */
export async function results(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#json")]);
  return JSON.parse(readFileSync(await download.path(), "utf8"));
}

/** A screenshot, for manual inspection. */
export async function shot(page, name) {
  if (!process.env.CANDOR_SCREENSHOTS) return;
  mkdirSync(process.env.CANDOR_SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(process.env.CANDOR_SCREENSHOTS, `${name}.png`), fullPage: true });
}

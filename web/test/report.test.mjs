// report.html in a browser, opened from a file: no network, no script, but photos under maps, enlarged maps and a filter.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, shot, skip } from "./browser.mjs";
import { candor } from "./folder.mjs";
import { faint, unnamed, unreached } from "./look.mjs";

let browser;
const reports = {};

before(async () => {
  if (skip) return;
  const folder = mkdtempSync(join(tmpdir(), "candor-report-"));
  const run = (...args) => execFileSync(candor, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  run("scenes", "photos", "--count", "4", "--model", "model.onnx");
  const asked = ["model.onnx", ...[0, 1, 2, 3].map((i) => `photos/00000${i}.png`), "--class", "top1", "--class", "top2", "--class", "lowest"];
  // With this lambda some masks lose a class, which causes a warning, and some do not.
  run("explain", ...asked, "--set", "lambda=0.03", "--out", "one");
  run("explain", ...asked, "--methods", "reliable,grad-cam", "--out", "two");
  for (const name of ["one", "two"]) reports[name] = `file://${join(folder, name, "report.html")}`;
  browser = await launch("--disable-gpu");
});

after(() => browser?.close());

async function opened(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const [said, asked] = [[], []];
  page.on("console", (message) => said.push(message.text()));
  page.on("request", (request) => !request.url().startsWith("data:") && asked.push(request.url()));
  await page.goto(reports[name]);
  return { context, page, said, asked };
}

test("it asks for nothing, and holds no script", { skip }, async () => {
  for (const name of ["one", "two"]) {
    const { context, page, said, asked } = await opened(name);
    assert.deepEqual(asked, [reports[name]]);
    assert.equal(await page.locator("script, link, iframe").count(), 0);
    assert.equal(await page.evaluate(() => [...document.querySelectorAll("*")].filter((e) => e.getAttributeNames().some((n) => n.startsWith("on"))).length), 0);
    assert.deepEqual(said, []);
    await context.close();
  }
});

test("the photo is under the map, five stops apart, by the keyboard too", { skip }, async () => {
  const { context, page } = await opened("one");
  const image = page.locator("#image-1");
  const cut = () => image.locator(".pane img").first().evaluate((e) => getComputedStyle(e).clipPath);
  assert.equal(await cut(), "none");
  await image.locator(".stop-100").focus();
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(300);
  assert.match(await cut(), /25%/);
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(300);
  assert.match(await cut(), /50%/);
  assert.equal(await page.locator("#image-2 .pane img").first().evaluate((e) => getComputedStyle(e).clipPath), "none", "of its own image alone");
  assert.match(await image.locator(".pane").first().evaluate((e) => getComputedStyle(e).backgroundImage), /^url\("data:image\/jpeg/);
  await context.close();
});

test("a map is enlarged in its place, and goes back there", { skip }, async () => {
  const { context, page } = await opened("two");
  const box = () => page.locator("#map-1-0 img").boundingBox();
  const height = () => page.evaluate(() => document.documentElement.scrollHeight);
  const [small, before] = [await box(), await height()];
  await page.locator("#map-1-0 .pane").press("Enter");
  await page.waitForTimeout(200);
  assert.ok((await box()).width > 2 * small.width, "not larger");
  assert.equal(await height(), before, "what is below moved");
  await page.locator("#map-1-0").getByText("close").click();
  await page.waitForTimeout(500);
  assert.ok(Math.abs((await box()).width - small.width) < 2);
  await context.close();
});

test("the filter leaves what it names", { skip }, async () => {
  const { context, page } = await opened("one");
  const shown = () => page.locator(".image").evaluateAll((all) => all.filter((e) => e.checkVisibility()).map((e) => e.id));
  const rows = () => page.locator(".index tbody tr").evaluateAll((all) => all.filter((e) => e.checkVisibility()).length);
  assert.equal((await shown()).length, 4);
  const warned = await page.locator(".image").evaluateAll((all) => all.filter((e) => e.querySelector(".warning")).map((e) => e.id));
  assert.ok(warned.length > 0 && warned.length < 4, `${warned.length} of 4 have a warning: choose other photos`);
  await page.check("#show-warning");
  assert.deepEqual(await shown(), warned);
  assert.equal(await rows(), warned.length);
  await page.check("#show-all");
  assert.equal((await shown()).length, 4);
  await context.close();
});

test("several methods stand side by side, class by class", { skip }, async () => {
  const { context, page } = await opened("two");
  const classes = await page.locator("#image-1 .one-class").count();
  assert.equal(classes, 3);
  const cards = await page.locator("#image-1 .one-class").first().locator(".card h3").allTextContents();
  assert.deepEqual(cards, ["reliable", "grad-cam"]);
  assert.equal(await page.locator("#image-1 .legend").count(), 2);
  assert.match(await page.locator("pre.command").textContent(), /--methods reliable,grad-cam/);
  await context.close();
});

for (const [name, width, colorScheme] of [["one", 1280, "dark"], ["one", 390, "light"], ["two", 1280, "light"], ["two", 390, "dark"]]) {
  test(`all can be read, reached and named: ${name}, ${width} pixels, ${colorScheme}`, { skip }, async () => {
    const { context, page, said } = await opened(name, { viewport: { width, height: 900 }, colorScheme });
    await page.locator("#image-1 summary").first().click();
    await page.locator("#image-1 summary").last().click();
    await shot(page, `report-${name}-${width}-${colorScheme}`);
    assert.deepEqual(await faint(page), []);
    assert.deepEqual(await unnamed(page), []);
    assert.deepEqual(await unreached(page), []);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, "wider than the screen");
    assert.deepEqual(said, []);
    await context.close();
  });
}

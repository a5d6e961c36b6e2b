// The page in a browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BELOW, launch, mapsAreThere, results, served, shot, skip, visited } from "./browser.mjs";
import { candor, difference, explained, floats, read, written } from "./folder.mjs";
import { faint, shifted, unnamed, unreached } from "./look.mjs";

let folder, server, browser;

before(async () => {
  if (skip) return;
  folder = written("--demo", "--methods", "reliable,grad-cam");
  server = await served(folder);
  browser = await launch("--disable-gpu");
});

after(async () => {
  await browser?.close();
  server?.close();
});

const opened = (options) => visited(browser, server.url, options);
const photo = (page, name = "check.png") => page.setInputFiles("#file", join(folder, name));

test("a photo's answer and an absent class", { skip }, async (t) => {
  const { context, page, said } = await opened();
  const checked = Number(await page.getAttribute("body", "data-check"));
  assert.ok(checked <= 1e-3, `this browser differs by ${checked}`);
  const start = performance.now();
  await photo(page);
  await mapsAreThere(page);
  t.diagnostic(`both maps of the answer ${((performance.now() - start) / 1000).toFixed(2)} s after the photo`);
  const told = JSON.parse(new TextDecoder().decode(read(folder, "page.json")));

  const found = await results(page);
  assert.equal(found.queries[0].class_id, told.check.class);
  for (const [method, file] of told.check.maps) {
    const { map, verdict } = found.queries.find((q) => q.method === method);
    const apart = difference(Float32Array.from(map.data), floats(folder, file));
    t.diagnostic(`${method}: ${apart.toExponential(1)} from Candor's`);
    assert.ok(apart <= 1e-3, `${method} differs by ${apart}`);
    assert.equal(verdict, method === "reliable" ? "evidence" : "not-judged");
  }

  // The class with the lowest score: an empty map, beside a Grad-CAM that need not be empty.
  const lowest = found.logits.indexOf(Math.min(...found.logits));
  await page.fill("#class", told.labels[lowest]);
  await page.click("#ask button");
  await mapsAreThere(page);
  const asked = (await results(page)).queries.find((q) => q.method === "reliable" && q.class_id === lowest);
  assert.equal(asked.verdict, "no-evidence");
  assert.ok(asked.map.data.every((v) => v === 0));
  await shot(page, "wide-light");

  await page.fill("#class", "no such thing");
  await page.click("#ask button");
  assert.match(await page.textContent("#unknown"), /does not know 'no such thing'/);
  await page.fill("#reveal", "40");
  assert.match(await page.$eval("canvas.over", (canvas) => canvas.style.clipPath), /60%/);
  await page.locator("button.stack").first().press("Enter");
  assert.ok(await page.isVisible("dialog canvas"));
  assert.deepEqual(said, []);
  await context.close();
});

test("weak evidence is told, with its figures and levels, and painted where that is asked for", { skip }, async () => {
  const scenes = mkdtempSync(join(tmpdir(), "candor-scenes-"));
  const model = join(scenes, "model.onnx");
  execFileSync(candor, ["scenes", join(scenes, "photos"), "--count", "1", "--model", model], { stdio: "ignore" });
  const scene = join(scenes, "photos/000000.png");
  const theirs = explained(model, [scene], "--class", "top1", "--class", "tree").images[0].queries;
  assert.deepEqual(theirs.map((q) => q.verdict), ["evidence", "weak"]);

  const { context, page } = await opened();
  await page.setInputFiles("#file", scene);
  await mapsAreThere(page);
  await page.fill("#class", "tree");
  await page.click("#ask button");
  await mapsAreThere(page);
  const found = (await results(page)).queries.filter((q) => q.method === "reliable");
  for (const query of theirs) {
    const own = found.find((q) => q.class_id === query.class_id);
    assert.equal(own.verdict, query.verdict);
    assert.equal(own.judged.ground, query.judged.ground);
    for (const name of ["log_odds", "null_log_odds", "evidence"]) assert.ok(Math.abs(own[name] - query[name]) < 1e-3, name);
    assert.deepEqual(own.levels.map((l) => l.value), query.levels.map((l) => l.value));
  }
  const card = page.locator(".asked", { hasText: "tree" }).locator(".card").first();
  /** Whether a map's colours are on its picture: everything else is grey. */
  const painted = () =>
    card.locator("canvas.over").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((v, i) => i % 4 === 0 && Math.abs(v - data[i + 2]) > 8);
    });
  assert.match(await card.locator(".verdict").textContent(), /weak evidence/);
  assert.equal(await painted(), false);
  await card.getByText("Show the weak map").click();
  assert.equal(await painted(), true);
  await card.locator("summary").click();
  assert.equal(await card.locator(".tiles canvas").count(), theirs[0].levels.length);
  assert.match(await card.locator("dl").textContent(), /Kept by the masks/);
  // Unfolded details stay so when the cards are rendered again.
  await card.getByText("Hide the weak map").click();
  assert.ok(await card.locator(".tiles").isVisible());
  await context.close();
});

test("what is no photo is said, and a photo of 40 megapixels is read", { skip }, async () => {
  const { context, page } = await opened();
  await page.setInputFiles("#file", { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => document.querySelector("#status").textContent.includes("broken.png is no picture"));
  const large = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(8000, 5000);
    const pen = canvas.getContext("2d");
    pen.fillStyle = "teal";
    pen.fillRect(2000, 1000, 3000, 3000);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
    return Array.from(bytes);
  });
  await page.setInputFiles("#file", { name: "large.png", mimeType: "image/png", buffer: Buffer.from(large) });
  await page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("large.png: answered"), null, { timeout: 60_000 });
  await context.close();
});

test("a search is cancelled, and taken up again", { skip }, async () => {
  const { context, page } = await opened();
  await photo(page);
  await page.locator(".card", { hasText: "reliable" }).getByText("Cancel").click();
  await page.getByText("Cancelled.").waitFor();
  await page.getByText("Compute it after all").click();
  await mapsAreThere(page);
  assert.equal(await page.getByText("Cancelled.").count(), 0);
  await context.close();
});

test("a phone, in the dark", { skip }, async () => {
  const { context, page } = await opened({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await photo(page);
  await mapsAreThere(page);
  await shot(page, "phone-dark");
  const [wide, ground] = await page.evaluate(() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]);
  assert.ok(wide <= 390, `${wide} pixels wide`);
  assert.equal(ground, "rgb(19, 18, 17)");
  await context.close();
});

for (const [name, width, height, colorScheme] of [["wide and light", 1280, 900, "light"], ["a phone in the dark", 390, 844, "dark"]]) {
  test(`nothing shifts, all can be read, reached and named: ${name}`, { skip }, async (t) => {
    const { context, page, said } = await opened({ viewport: { width, height }, colorScheme });
    const [loading] = await shifted(page);
    assert.ok(loading <= 0.01, `while it loads: ${JSON.stringify(await shifted(page))}`);
    await photo(page);
    await mapsAreThere(page);
    await page.fill("#class", "no such thing");
    await page.click("#ask button");
    await page.locator("summary").first().click();
    await page.waitForTimeout(300);
    const [all, what] = await shifted(page);
    t.diagnostic(`layout shift ${loading.toFixed(4)} while it loads, ${all.toFixed(4)} with a photo`);
    assert.ok(all <= 0.01, JSON.stringify(what));
    assert.deepEqual(await faint(page), []);
    assert.deepEqual(await unnamed(page), []);
    assert.deepEqual(await unreached(page), []);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    await shot(page, `unfolded-${width}-${colorScheme}`);
    assert.deepEqual(said, []);
    await context.close();
  });
}

test("it opens without a network once it was open", { skip }, async () => {
  const { context, page } = await opened();
  await page.evaluate(() => navigator.serviceWorker.ready);
  await context.setOffline(true);
  await page.reload();
  await page.waitForSelector("body[data-ready]", { timeout: 60_000 });
  await photo(page);
  await mapsAreThere(page);
  await context.close();
});

test("the folder has at most 20 MB beside the model", { skip }, (t) => {
  const { files } = JSON.parse(new TextDecoder().decode(read(folder, "page.json")));
  const bytes = files.filter((file) => !file.startsWith("graphs/")).reduce((sum, file) => sum + read(folder, file).length, 0);
  t.diagnostic(`${(bytes / 1e6).toFixed(1)} MB`);
  assert.ok(bytes <= 20e6, `${bytes} bytes`);
});

test("nothing is sent anywhere", { skip }, () => {
  const files = JSON.parse(new TextDecoder().decode(read(folder, "page.json"))).files.map((file) => BELOW + file);
  const others = server.requests.filter(([method, path]) => method !== "GET" || (path !== BELOW && !files.includes(path)));
  assert.deepEqual(others, []);
  assert.match(readFileSync(join(folder, "index.html"), "utf8"), /default-src 'none'.*connect-src 'self'/);
});

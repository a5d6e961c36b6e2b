// Times the page: `node measure.mjs [candor page's arguments …]` beside node_modules, on a quiet machine. One thread, headless Chromium.
//
//   node measure.mjs --demo
//   node measure.mjs model.onnx --preset inception -- photo.png
//
// With a photo, the page is compared with `candor explain --threads 1` for the same photo, method and class.

import { join } from "node:path";
import { launch, mapsAreThere, results, served, visited } from "./test/browser.mjs";
import { explained, written } from "./test/folder.mjs";

const cut = process.argv.indexOf("--");
const args = process.argv.slice(2, cut < 0 ? undefined : cut);
const given = cut < 0 ? undefined : process.argv[cut + 1];
const folder = written(...args, "--methods", "grad-cam,reliable");
const photo = given ?? join(folder, "check.png");
const server = await served(folder);
const browser = await launch("--disable-gpu");
const said = (what, values) => console.log(`${what}: ${values.map((s) => s.toFixed(2)).join(", ")} s`);

const [loads, firsts, grad, mask] = [[], [], [], []];
for (let i = 0; i < 3; i++) {
  let start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const { context, page } = await visited(browser, server.url);
  loads.push(since());
  await page.uncheck("#method-reliable");
  start = performance.now();
  await page.setInputFiles("#file", photo);
  await mapsAreThere(page);
  firsts.push(since());
  await page.check("#method-reliable");
  await mapsAreThere(page);
  const { queries } = await results(page);
  grad.push(queries.find((q) => q.method === "grad-cam").seconds);
  mask.push(queries.find((q) => q.method === "reliable").seconds);
  await context.close();
}
await browser.close();
server.close();
said("from the first request to ready, checked", loads);
said("from the photo to the first map (grad-cam)", firsts);
said("grad-cam", grad);
said("reliable", mask);

if (!args.includes("--demo")) {
  for (const [method, page] of [["grad-cam", grad], ["reliable", mask]]) {
    const native = [0, 1, 2].map(() => {
      const { images } = explained(args[0], [photo], ...args.slice(1), "--method", method, "--no-probe");
      return images[0].queries[0].cost.seconds;
    });
    said(`candor explain --threads 1 --method ${method}`, native);
    console.log(`${method}: ${(Math.min(...page) / Math.min(...native)).toFixed(1)} times`);
  }
}

// A page that may compute on a GPU: it does if the GPU computes what Candor computes; otherwise WebAssembly is used, and the page says so.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, mapsAreThere, results, served, skip, visited } from "./browser.mjs";
import { difference, floats, read, written } from "./folder.mjs";

let folder, plain;

before(async () => {
  if (skip) return;
  folder = written("--demo", "--webgpu", "--methods", "grad-cam,reliable,lrp");
  plain = await launch("--disable-gpu");
});

after(() => plain?.close());

const status = (page) => page.textContent("#status");

/** Checks that the maps of the check's photo are Candor's. */
async function candors(t, page) {
  await page.check("#method-lrp");
  await page.setInputFiles("#file", join(folder, "check.png"));
  await mapsAreThere(page);
  const { queries } = await results(page);
  const told = JSON.parse(new TextDecoder().decode(read(folder, "page.json")));
  assert.equal(queries.length, told.check.maps.length);
  for (const [method, file] of told.check.maps) {
    const apart = difference(Float32Array.from(queries.find((q) => q.method === method).map.data), floats(folder, file));
    t.diagnostic(`${method}: ${apart.toExponential(1)} from Candor's`);
    assert.ok(apart <= 1e-3, `${method} differs by ${apart}`);
  }
}

test("on a GPU that is right, which software may be", { skip }, async (t) => {
  const server = await served(folder);
  const browser = await launch("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader");
  const { page, said } = await visited(browser, server.url);
  t.diagnostic(`${await page.getAttribute("body", "data-backend")}: ${await status(page)} ${await page.textContent("#about")}`);
  assert.equal(await page.getAttribute("body", "data-backend"), "webgpu");
  await candors(t, page);
  assert.deepEqual(said, []);
  await browser.close();
  server.close();
});

test("without an adapter", { skip }, async (t) => {
  const server = await served(folder);
  const { page, context } = await visited(plain, server.url);
  assert.match(await status(page), /WebGPU.*: WebAssembly is used/);
  assert.equal(await page.getAttribute("body", "data-backend"), "wasm");
  await candors(t, page);
  await context.close();
  server.close();
});

/** An adapter for the worker, as in browsers. */
const ADAPTER = 'Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({}) } });\n';

for (const [what, runtime, told] of [
  [
    "with an adapter that computes something else",
    // WebAssembly under another name, with values that are wrong by a hundredth.
    `export * from "./ort.wasm.bundle.min.mjs";
     import { InferenceSession as Real, env } from "./ort.wasm.bundle.min.mjs";
     export const InferenceSession = {
       async create(graph, options) {
         env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
         const session = await Real.create(graph, { ...options, executionProviders: ["wasm"] });
         const run = session.run.bind(session);
         session.run = async (...given) => {
           const values = await run(...given);
           for (const { data } of Object.values(values)) if (data instanceof Float32Array) data.forEach((v, i) => (data[i] = i % 2 ? v : 1.01 * v));
           return values;
         };
         return session;
       },
     };`,
    /^WebGPU does not compute what Candor computes here \(differs in the network's scores by .*\): WebAssembly is used\./,
  ],
  ["with an adapter that fails", 'export const env = { wasm: {} };\nexport const InferenceSession = { create: () => Promise.reject(new Error("device lost")) };', /^WebGPU failed \(device lost\): WebAssembly is used\./],
]) {
  test(what, { skip }, async (t) => {
    const replaced = (name, bytes) => (name === "worker.js" ? ADAPTER + bytes : name === "runtime/ort.webgpu.bundle.min.mjs" ? runtime : bytes);
    const server = await served(folder, replaced);
    const { page, context } = await visited(plain, server.url);
    assert.match(await status(page), told);
    assert.equal(await page.getAttribute("body", "data-backend"), "wasm");
    await candors(t, page);
    await context.close();
    server.close();
  });
}

// Every method that Candor exports, run by the page's own code on the runtime's WebAssembly, against Candor's own maps.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-web/wasm";
import { Stopped } from "../page/graphs.js";
import { arrays, candor, difference, explained, exportable, floats, opened, read, runtime, written } from "./folder.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL(`file://${runtime}/`).href;

const data = process.env.CANDOR_DATA ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
const models = [
  ["the embedded model", ["--demo"]],
  ["cifar10_resnet20", [join(data, "models/cifar10_resnet20.onnx"), "--preset", "imagenet"]],
  ["mobilenet_v1_0.25_128", [join(data, "models/mobilenet_v1_0.25_128.onnx"), "--preset", "inception"]],
  ["squeezenet1_0_deepcompressed", [join(data, "models/squeezenet1_0_deepcompressed.onnx"), "--preset", "raw"]],
];

/**
 * Methods whose gradients jump where a unit is at a kink. The check's photo has uniform areas, in which units of real networks tie exactly, so that
 * an engine's last bit decides through which of them a gradient goes: their differences are reported, but are no failures.
 */
const KINKED = new Set([
  "reliable", "gradient", "gradient-times-input", "integrated-gradients", "deeplift", "contrastive-excitation-backprop",
]);

for (const [name, args] of models) {
  const real = !args.includes("--demo");
  const missing = real && !existsSync(args[0]);
  if (missing && process.env.CANDOR_REQUIRE_DATA) throw new Error(`${args[0]} is missing`);
  test(`maps of ${name} are Candor's`, { skip: missing && "needs the real models that CANDOR_DATA names" }, async (t) => {
    const folder = written(...args, "--methods", exportable().join(","));
    const { page, graphs, input, image, search } = opened(ort, folder);
    const photo = input(read(folder, page.check.photo));
    const feeds = { ...image(photo), [page.model.class]: new ort.Tensor("int64", BigInt64Array.of(BigInt(page.check.class)), [1]) };
    const network = await graphs.run([{ file: page.network }], feeds);
    const logits = difference(network.get(page.model.logits).data, floats(folder, page.check.logits));
    t.diagnostic(`scores: ${logits.toExponential(1)}`);
    assert.ok(logits <= 1e-4, `scores differ by ${logits}`);
    const far = [];
    for (const [method, file] of page.check.maps) {
      const found = page.methods.find((m) => m.name === method);
      const start = performance.now();
      const map = found.search
        ? (await (await search(found, photo)).explain(page.check.class)).map.data
        : (await graphs.run(found.stages, feeds)).get(page.model.map).data;
      const apart = difference(map, floats(folder, file));
      t.diagnostic(`${method}: ${apart.toExponential(1)} in ${((performance.now() - start) / 1000).toFixed(2)} s`);
      if (!(apart <= 1e-3) && !(real && KINKED.has(method))) far.push(`${method} differs by ${apart.toExponential(1)}`);
      await graphs.release();
    }
    assert.deepEqual(far, []);
  });
}

test("the exported search, a loop in one file, is Candor's", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "candor-export-"));
  const [file, model] = ["mask.onnx", "model.onnx"].map((name) => join(folder, name));
  execFileSync(candor, ["scenes", join(folder, "photos"), "--count", "1", "--model", model], { stdio: "ignore" });
  execFileSync(candor, ["export", model, "--method", "reliable", "-o", file], { stdio: "ignore" });
  const photo = join(folder, "photos/000000.png");
  const { input, image } = opened(ort, written(model));
  const { out, images } = explained(model, [photo], "--set", "look=0", "--class", "top1", "--class", "lowest");
  const session = await ort.InferenceSession.create(readFileSync(file), { logSeverityLevel: 3 });
  for (const query of images[0].queries) {
    const feeds = { ...image(input(readFileSync(photo))), class: new ort.Tensor("int64", BigInt64Array.of(BigInt(query.class_id)), [1]) };
    const apart = difference((await session.run(feeds)).map.data, arrays(join(out, query.map.npz)).map);
    t.diagnostic(`${query.class_name}: ${apart.toExponential(1)}`);
    assert.ok(apart <= 1e-3, `${query.class_name} differs by ${apart}`);
  }
});

test("a run is ended between two turns", async () => {
  const folder = written("--demo", "--methods", "reliable,integrated-gradients");
  const { page, graphs, input, image, search } = opened(ort, folder);
  const photo = input(read(folder, page.check.photo));
  const ended = async (run) => {
    let turns = 0;
    await assert.rejects(run(() => ++turns > 5), Stopped);
    assert.equal(turns, 6);
  };
  const method = (name) => page.methods.find((m) => m.name === name);
  const feeds = { ...image(photo), [page.model.class]: new ort.Tensor("int64", BigInt64Array.of(0n), [1]) };
  await ended((watch) => graphs.run(method("integrated-gradients").stages, feeds, watch));
  const begun = await search(method("reliable"), photo);
  await ended((watch) => begun.explain(page.check.class, watch));
});

// Every method that Candor exports, run by the page's own code on the runtime's WebAssembly, against Candor's own maps.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-web/wasm";
import { PNG } from "pngjs";
import { Graphs, Stopped } from "../page/graphs.js";
import { normalize, opaque, pixels } from "../page/preprocess.js";
import { difference, exportable, floats, read, runtime, written } from "./folder.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL(`file://${runtime}/`).href;

const data = process.env.CANDOR_DATA ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
const models = [
  ["the embedded model", ["--demo"]],
  ["cifar10_resnet20", [join(data, "models/cifar10_resnet20.onnx"), "--preset", "imagenet"]],
  ["mobilenet_v1_0.25_128", [join(data, "models/mobilenet_v1_0.25_128.onnx"), "--preset", "inception"]],
  ["squeezenet1_0_deepcompressed", [join(data, "models/squeezenet1_0_deepcompressed.onnx"), "--preset", "raw"]],
];

function opened(folder) {
  const page = JSON.parse(new TextDecoder().decode(read(folder, "page.json")));
  const graphs = new Graphs(ort, async (file) => read(folder, file.includes("/") ? file : `graphs/${file}`), page.weights, {
    logSeverityLevel: 3,
  });
  const how = page.preprocessing;
  const input = normalize(pixels(opaque(PNG.sync.read(Buffer.from(read(folder, page.check.photo)))), how), how);
  const feeds = {
    [page.model.image]: new ort.Tensor("float32", input, [1, how.channels, how.height, how.width]),
    [page.model.class]: new ort.Tensor("int64", BigInt64Array.of(BigInt(page.check.class)), [1]),
  };
  return { page, graphs, feeds };
}

/**
 * Methods whose gradients jump where a unit is at a kink. The check's photo has flat areas, in which units of real networks tie exactly, so that the
 * last bit of an engine decides which of them a gradient goes through: their differences are told and not judged.
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
    const { page, graphs, feeds } = opened(folder);
    const network = await graphs.run([{ file: page.network }], feeds);
    const logits = difference(network.get(page.model.logits).data, floats(folder, page.check.logits));
    t.diagnostic(`scores: ${logits.toExponential(1)}`);
    assert.ok(logits <= 1e-4, `scores differ by ${logits}`);
    const far = [];
    for (const [method, file] of page.check.maps) {
      const { stages } = page.methods.find((m) => m.name === method);
      const start = performance.now();
      const values = await graphs.run(stages, feeds);
      const apart = difference(values.get(page.model.map).data, floats(folder, file));
      t.diagnostic(`${method}: ${apart.toExponential(1)} in ${((performance.now() - start) / 1000).toFixed(2)} s`);
      if (!(apart <= 1e-3) && !(real && KINKED.has(method))) far.push(`${method} differs by ${apart.toExponential(1)}`);
      await graphs.release();
    }
    assert.deepEqual(far, []);
  });
}

test("a run is ended between two turns", async () => {
  const { page, graphs, feeds } = opened(written("--demo", "--methods", "reliable"));
  const [{ stages }] = page.methods;
  let turns = 0;
  await assert.rejects(graphs.run(stages, feeds, () => ++turns > 5), Stopped);
  assert.equal(turns, 6);
});

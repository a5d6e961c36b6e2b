// Owns the model: nothing that takes long happens on the page's own thread. Requests are answered one after the other.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { Graphs, Stopped } from "./graphs.js";
import { normalize, opaque, pixels } from "./preprocess.js";

const bytes = async (file) => {
  const response = await fetch(new URL(file, import.meta.url));
  if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
};
const floats = async (file) => new Float32Array((await bytes(file)).buffer);

/** Of whole files, the large ones once. */
const files = new Map();
const kept = (file) => {
  if (!files.has(file)) files.set(file, bytes(file));
  return files.get(file);
};

let page, graphs, input;
const stopped = new Set();

async function open() {
  page = JSON.parse(new TextDecoder().decode(await bytes("page.json")));
  // The bundle has the runtime's own module in it: only the binary is a file.
  ort.env.wasm.wasmPaths = { wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  // Threads need a page that is isolated from other origins by its server's headers.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  const read = (file) => kept(file.includes("/") ? file : `graphs/${file}`);
  graphs = new Graphs(ort, read, page.weights, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  await graphs.session(page.network);
  return { threads: ort.env.wasm.numThreads };
}

const image = () => {
  const { channels, height, width } = page.preprocessing;
  return new ort.Tensor("float32", input, [1, channels, height, width]);
};

/** Logits of a picture { width, height, data: RGBA }, which is the one that is explained from now on. */
async function answer({ picture }) {
  const seen = pixels(opaque(picture), page.preprocessing);
  input = normalize(seen, page.preprocessing);
  const start = performance.now();
  const values = await graphs.run([{ file: page.network }], { [page.model.image]: image() });
  const logits = values.get(page.model.logits).data;
  return { logits: Float32Array.from(logits), seconds: (performance.now() - start) / 1000, seen };
}

/** The map of a class by a method; its progress is told. */
async function explain({ method, class: asked }, id) {
  const { stages } = page.methods.find((m) => m.name === method);
  const feeds = {
    [page.model.image]: image(),
    [page.model.class]: new ort.Tensor("int64", BigInt64Array.of(BigInt(asked)), [1]),
  };
  const start = performance.now();
  const values = await graphs.run(stages, feeds, (done, total) => {
    if (total) postMessage({ id, progress: done / total });
    return stopped.has(id);
  });
  const { data } = values.get(page.model.map);
  const { height, width } = page.preprocessing;
  return { map: { height, width, data: Float32Array.from(data) }, seconds: (performance.now() - start) / 1000 };
}

/** Largest difference of two arrays, in shares of the largest magnitude of the second. */
function difference(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  let [most, scale] = [0, 0];
  theirs.forEach((v, i) => {
    most = Math.max(most, Math.abs(v - ours[i]));
    scale = Math.max(scale, Math.abs(v));
  });
  return scale ? most / scale : most;
}

/** What this browser computes for the check's photo against what Candor computed: the logits, and the map of a method without a loop. */
async function check({ picture }) {
  const mine = input;
  const { logits } = await answer({ picture });
  const differences = [["the network's scores", difference(logits, await floats(page.check.logits))]];
  const quick = page.methods.find((m) => m.stages.every((s) => s.turns === undefined));
  if (quick) {
    const { map } = await explain({ method: quick.name, class: page.check.class }, -1);
    const [, file] = page.check.maps.find(([name]) => name === quick.name);
    differences.push([`the map of ${quick.name}`, difference(map.data, await floats(file))]);
  }
  input = mine;
  return { differences };
}

const jobs = { open, answer, explain, check };
let last = Promise.resolve();

onmessage = ({ data: { id, job, ...request } }) => {
  if (job === "stop") {
    stopped.add(request.of);
    return;
  }
  last = last.then(async () => {
    try {
      if (stopped.has(id)) throw new Stopped();
      postMessage({ id, done: await jobs[job](request, id) });
    } catch (error) {
      postMessage({ id, failed: error instanceof Stopped ? null : String(error.message ?? error) });
    }
  });
};

// Owns the model: nothing that takes long runs on the page's own thread. Requests are handled one after the other.

import { Graphs, Stopped } from "./graphs.js";
import { normalize, opaque, pixels } from "./preprocess.js";
import { Search } from "./search.js";
import { ranking } from "./verdict.js";

const bytes = async (file) => {
  const response = await fetch(new URL(file, import.meta.url));
  if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
};
const floats = async (file) => new Float32Array((await bytes(file)).buffer);

/** Contents of files; large ones are loaded once. */
const files = new Map();
const kept = (file) => {
  if (!files.has(file)) files.set(file, bytes(file));
  return files.get(file);
};

let page, ort, graphs, searched, input;
/** The searches of the photo, by method. */
let searches = new Map();
const stopped = new Set();

/** The runtime's modules, which contain everything except the binary. */
const RUNTIMES = {
  wasm: ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
};

/** Why WebGPU is not available; empty if it is. */
async function missing() {
  if (!navigator.gpu) return "This browser has no WebGPU";
  return (await navigator.gpu.requestAdapter()) ? "" : "This device has no WebGPU adapter";
}

/** Opens the network, on WebGPU if that is requested and available, else with WebAssembly. */
async function open({ webgpu }) {
  page = JSON.parse(new TextDecoder().decode(await bytes("page.json")));
  const why = webgpu && page.webgpu ? await missing() : "";
  const on = webgpu && page.webgpu && !why ? "webgpu" : "wasm";
  const [module, binary] = RUNTIMES[on];
  ort = await import(`./runtime/${module}`);
  ort.env.wasm.wasmPaths = { wasm: new URL(`runtime/${binary}`, import.meta.url).href };
  // Threads require that the server's headers isolate the page from other origins.
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  ort.env.wasm.numThreads = threads;
  const read = (file) => kept(file.includes("/") ? file : `graphs/${file}`);
  const made = (provider) => new Graphs(ort, read, page.weights, { executionProviders: [provider], logSeverityLevel: 3 });
  graphs = made(on);
  // A search passes its state from step to step, and WebGPU lacks some of its operators, so that the state would be copied back and forth.
  searched = on === "wasm" ? graphs : made("wasm");
  await graphs.session(page.network);
  const wasm = `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  return { webgpu: on === "webgpu", why, backend: on === "webgpu" ? `WebGPU, and for searches ${wasm}` : wasm };
}

const image = () => {
  const { channels, height, width } = page.preprocessing;
  return new ort.Tensor("float32", input, [1, channels, height, width]);
};

/** Logits of a picture { width, height, data: RGBA }, which is then the one that is explained. */
async function answer({ picture }) {
  const seen = pixels(opaque(picture), page.preprocessing);
  input = normalize(seen, page.preprocessing);
  searches = new Map();
  const start = performance.now();
  const values = await graphs.run([{ file: page.network }], { [page.model.image]: image() });
  const logits = values.get(page.model.logits).data;
  return { logits: Float32Array.from(logits), seconds: (performance.now() - start) / 1000, seen };
}

/** The map of a class by a method; reports progress. */
async function explain({ method, class: asked }, id) {
  const found = page.methods.find((m) => m.name === method);
  const start = performance.now();
  const watch = (done, total) => {
    if (total) postMessage({ id, progress: done / total });
    return stopped.has(id);
  };
  const answer = await (found.search ? searchFor(found, asked, watch) : staged(found, asked, watch));
  return { ...answer, seconds: (performance.now() - start) / 1000 };
}

async function staged({ stages }, asked, watch) {
  const feeds = {
    [page.model.image]: image(),
    [page.model.class]: new ort.Tensor("int64", BigInt64Array.of(BigInt(asked)), [1]),
  };
  const loops = stages.some((s) => s.turns !== undefined);
  const { data } = (await (loops ? searched : graphs).run(stages, feeds, watch)).get(page.model.map);
  const { height, width } = page.preprocessing;
  return { map: { height, width, data: Float32Array.from(data) } };
}

/** A search's map with its numbers, and the p-value of the class with the lowest score, since verdicts are given together. */
async function searchFor({ name, search }, asked, watch) {
  if (!searches.has(name)) {
    const { channels, height, width } = page.preprocessing;
    const begun = new Search(ort, searched, search, page.model.image, [channels, height, width]);
    await begun.begin(input);
    searches.set(name, begun);
  }
  const begun = searches.get(name);
  const lowest = ranking(begun.logits).at(-1);
  return { ...(await begun.explain(asked, watch)), lowest, lowest_p_value: await begun.pValue(lowest) };
}

/** Largest difference of two arrays, relative to the largest magnitude of the second. */
function difference(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  let [most, scale] = [0, 0];
  theirs.forEach((v, i) => {
    most = Math.max(most, Math.abs(v - ours[i]));
    scale = Math.max(scale, Math.abs(v));
  });
  return scale ? most / scale : most;
}

/** Compares this browser's results on the check's photo with Candor's: the logits, and the map of a method without a loop. */
async function check({ picture }) {
  const mine = [input, searches];
  const { logits } = await answer({ picture });
  const differences = [["the network's scores", difference(logits, await floats(page.check.logits))]];
  const quick = page.methods.find((m) => m.stages?.every((s) => s.turns === undefined));
  if (quick) {
    const { map } = await explain({ method: quick.name, class: page.check.class }, -1);
    const [, file] = page.check.maps.find(([name]) => name === quick.name);
    differences.push([`the map of ${quick.name}`, difference(map.data, await floats(file))]);
  }
  [input, searches] = mine;
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

// A page's folder, made by the program under test: the one that CANDOR names, by default that of `cargo build --release`.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateRawSync } from "node:zlib";
import { PNG } from "pngjs";
import { Graphs } from "../page/graphs.js";
import { normalize, opaque, pixels } from "../page/preprocess.js";
import { Search } from "../page/search.js";

// The embedded engine, whatever else is installed; tests of another engine choose it themselves.
process.env.CANDOR_ENGINE = "rten";

export const candor = process.env.CANDOR ?? fileURLToPath(new URL("../../target/release/candor", import.meta.url));
export const runtime = fileURLToPath(new URL("../node_modules/onnxruntime-web/dist", import.meta.url));

/** Writes a page with these arguments into a new folder, and returns its path. */
export function written(...args) {
  const folder = mkdtempSync(join(tmpdir(), "candor-page-"));
  execFileSync(candor, ["page", ...args, "--out", folder, "--runtime", runtime], { stdio: ["ignore", "ignore", "pipe"] });
  return folder;
}

/** A page's description, its graphs in a runtime, and the network's input for a photo. */
export function opened(ort, folder) {
  const page = JSON.parse(new TextDecoder().decode(read(folder, "page.json")));
  const file = async (name) => read(folder, name.includes("/") ? name : `graphs/${name}`);
  const graphs = new Graphs(ort, file, page.weights, { logSeverityLevel: 3 });
  const how = page.preprocessing;
  const shape = [how.channels, how.height, how.width];
  /** The input values of a PNG's bytes. */
  const input = (png) => normalize(pixels(opaque(PNG.sync.read(Buffer.from(png))), how), how);
  const image = (values) => ({ [page.model.image]: new ort.Tensor("float32", values, [1, ...shape]) });
  /** A search of a photo's input values. */
  const search = async (method, values) => {
    const search = new Search(ort, graphs, method.search, page.model.image, shape);
    await search.begin(values);
    return search;
  };
  return { page, graphs, input, image, search };
}

/** The names of the methods that can be exported. */
export function exportable() {
  const methods = JSON.parse(execFileSync(candor, ["methods", "--json"], { encoding: "utf8" }));
  return methods.filter((m) => m.exportable).map((m) => m.name);
}

export const read = (folder, file) => new Uint8Array(readFileSync(join(folder, file)));
export const floats = (folder, file) => new Float32Array(read(folder, file).slice().buffer);

/** Largest difference, relative to the largest magnitude of `theirs`. */
export function difference(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  const largest = theirs.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return theirs.reduce((most, v, i) => Math.max(most, Math.abs(v - ours[i])), 0) / (largest || 1);
}

/** Candor's own results: the document of `explain --json` for photos, and the folder of its files. */
export function explained(model, photos, ...args) {
  const out = mkdtempSync(join(tmpdir(), "candor-explain-"));
  const command = ["explain", model, ...photos, ...args, "--threads", "1", "--out", out, "--json"];
  const options = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 };
  return { out, ...JSON.parse(execFileSync(candor, command, options)) };
}

/** The arrays of an NPZ file by name, float32. */
export function arrays(file) {
  const bytes = readFileSync(file);
  const found = {};
  // The directory at the end: method, size, name and position of each member.
  const end = bytes.lastIndexOf("PK\x05\x06", undefined, "latin1");
  let at = bytes.readUInt32LE(end + 16);
  for (let i = bytes.readUInt16LE(end + 10); i > 0; i--) {
    const [method, packed, place] = [bytes.readUInt16LE(at + 10), bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 42)];
    const [name, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field));
    const start = place + 30 + bytes.readUInt16LE(place + 26) + bytes.readUInt16LE(place + 28);
    const content = bytes.subarray(start, start + packed);
    const array = method === 0 ? content : inflateRawSync(content);
    if (array.includes("'<f4'")) {
      const header = 10 + array.readUInt16LE(8);
      found[bytes.toString("utf8", at + 46, at + 46 + name).replace(".npy", "")] = new Float32Array(Uint8Array.from(array.subarray(header)).buffer);
    }
    at += 46 + name + extra + comment;
  }
  return found;
}

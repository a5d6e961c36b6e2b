// A page's folder, made by the program under test: CANDOR names it, by default the one that `cargo build --release` makes.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const candor = process.env.CANDOR ?? fileURLToPath(new URL("../../target/release/candor", import.meta.url));
export const runtime = fileURLToPath(new URL("../node_modules/onnxruntime-web/dist", import.meta.url));

/** Writes a page with these arguments into a new folder, and gives its place. */
export function written(...args) {
  const folder = mkdtempSync(join(tmpdir(), "candor-page-"));
  execFileSync(candor, ["page", ...args, "--out", folder, "--runtime", runtime], { stdio: ["ignore", "ignore", "pipe"] });
  return folder;
}

/** The names of the methods that can be exported. */
export function exportable() {
  const methods = JSON.parse(execFileSync(candor, ["methods", "--json"], { encoding: "utf8" }));
  return methods.filter((m) => m.exportable).map((m) => m.name);
}

export const read = (folder, file) => new Uint8Array(readFileSync(join(folder, file)));
export const floats = (folder, file) => new Float32Array(read(folder, file).slice().buffer);

/** Largest difference, in shares of the largest magnitude of `theirs`. */
export function difference(ours, theirs) {
  if (ours.length !== theirs.length) return Infinity;
  const largest = theirs.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return theirs.reduce((most, v, i) => Math.max(most, Math.abs(v - ours[i])), 0) / (largest || 1);
}

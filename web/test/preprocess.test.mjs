// The page's arithmetic against results of Pillow and torchvision: the same goldens as for Candor.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PNG } from "pngjs";
import { normalize, opaque, pixels, resize } from "../page/preprocess.js";

const goldens = new URL("../../crates/candor/tests/data/image/", import.meta.url);
const png = (name) => opaque(PNG.sync.read(readFileSync(new URL(name, goldens))));

/** `large()` of tools/goldens/image.py. */
function large(width = 640, height = 480) {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const floor = Math.floor;
      const red = (x * 5 + y * 3 + floor((x * y) / 7)) % 256;
      const green = (floor(x / 3) + floor((y * y) / 11)) % 256;
      data.set([red, green, ((floor(x / 40) + floor(y / 30)) % 2) * 255], 3 * (y * width + x));
    }
  }
  return { width, height, data };
}

const same = (ours, theirs, what) => {
  assert.deepEqual([ours.width, ours.height], [theirs.width, theirs.height], what);
  assert.ok(Buffer.from(ours.data).equals(Buffer.from(theirs.data)), `${what}: not the same bytes`);
};

test("every filter is Pillow's to the last level", () => {
  const source = png("resize/source.png");
  for (const filter of ["nearest", "bilinear", "bicubic", "lanczos"]) {
    for (const [h, w] of [[8, 8], [24, 31], [80, 64], [53, 20], [20, 37], [16, 60]]) {
      const name = `source_${filter}_${h}x${w}.png`;
      same(resize(source, h, w, filter), png(`resize/${name}`), name);
    }
    for (const [h, w] of [[32, 32], [56, 75]]) {
      const name = `large_${filter}_${h}x${w}.png`;
      same(resize(large(), h, w, filter), png(`resize/${name}`), name);
    }
  }
});

test("the crop is torchvision's", () => {
  const photo = (height, width) => {
    const { data, width: row } = large();
    const part = new Uint8Array(3 * width * height);
    for (let y = 0; y < height; y++) part.set(data.subarray(3 * y * row, 3 * (y * row + width)), 3 * y * width);
    return { width, height, data: part };
  };
  for (const [h, w] of [[480, 640], [375, 500], [333, 250], [53, 37], [97, 97], [20, 61], [64, 201]]) {
    for (const size of [32, 28, 45]) {
      const how = { height: size, width: size, channels: 3, resize: "crop", filter: "bilinear" };
      const name = `${h}x${w}_${size}.png`;
      same(pixels(photo(h, w), how), png(`crop/${name}`), name);
    }
  }
});

test("numbers are those of the formula, channel by channel", () => {
  const how = { height: 1, width: 2, channels: 3, color: "bgr", resize: "squash", filter: "bilinear" };
  const caffe = { ...how, scale: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1] };
  const picture = { width: 2, height: 1, data: Uint8Array.of(255, 0, 51, 1, 2, 3) };
  const input = normalize(pixels(picture, caffe), caffe);
  assert.deepEqual([...input], [51 - 103.939, 3 - 103.939, -116.779, 2 - 116.779, 255 - 123.68, 1 - 123.68].map(Math.fround));
  const grey = { ...caffe, channels: 1, scale: 1 / 255, mean: [0, 0, 0] };
  assert.deepEqual([...normalize(pixels(picture, grey), grey)], [82, 2].map((v) => Math.fround(v / 255)));
});

test("what is transparent lies on white", () => {
  const seen = opaque({ width: 2, height: 1, data: Uint8Array.of(10, 20, 30, 0, 10, 20, 30, 128) });
  assert.deepEqual([...seen.data], [255, 255, 255, 132, 137, 142]);
});

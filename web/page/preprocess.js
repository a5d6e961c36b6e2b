// From a decoded photo to a model's input, as Candor does it: Pillow's antialiased resize on 8-bit samples, rows first, to the last level.
// A picture is { width, height, data }, data a Uint8Array of three bytes a pixel (red, green, blue), row by row.

/** Fractional bits of a weight; the rest of 32 bits are the sample's, and two to spare. */
const PRECISION = 32 - 8 - 2;
const HALF = 1 << (PRECISION - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Where a filter becomes zero, in pixels of the coarser grid, and its value at a distance x >= 0 below that. */
const FILTERS = {
  bilinear: { support: 1, at: (x) => 1 - x },
  bicubic: {
    support: 2,
    at: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * -0.5),
  },
  lanczos: { support: 3, at: (x) => sinc(x) * sinc(x / 3) },
};

/** Halves away from zero. */
const round = (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** For each of `length` new pixels the first old one that it is made of, and the weights of those from there on. */
function taps(old, length, filter) {
  const step = old / length;
  const widening = Math.max(step, 1);
  const support = filter.support * widening;
  return Array.from({ length }, (_, i) => {
    const centre = (i + 0.5) * step;
    const first = Math.trunc(Math.max(centre - support + 0.5, 0));
    const end = Math.min(Math.trunc(centre + support + 0.5), old);
    const weights = [];
    let total = 0;
    for (let j = first; j < end; j++) {
      const distance = Math.abs((j - centre + 0.5) * (1 / widening));
      const weight = distance >= filter.support ? 0 : filter.at(distance);
      weights.push(weight);
      total += weight;
    }
    return { first, weights: weights.map((w) => round((w / total) * 2 ** PRECISION)) };
  });
}

const level = (sum) => Math.min(Math.max(sum >> PRECISION, 0), 255);

/** One direction, line by line: `lineOf` gives where a line begins and how far its samples are apart, in `from` and in `to`. */
function along(from, to, count, lineOf, pixels) {
  for (let line = 0; line < count; line++) {
    const [source, sourceStep, target, targetStep] = lineOf(line);
    pixels.forEach(({ first, weights }, i) => {
      for (let c = 0; c < 3; c++) {
        let sum = HALF;
        let at = source + first * sourceStep + c;
        for (let k = 0; k < weights.length; k++, at += sourceStep) sum += from[at] * weights[k];
        to[target + i * targetStep + c] = level(sum);
      }
    });
  }
}

function nearest({ width: oldWidth, height: oldHeight, data }, height, width) {
  // The step is added up, which decides where a centre falls between two pixels.
  const positions = (old, length) => {
    const step = old / length;
    let at = step * 0.5;
    return Array.from({ length }, () => {
      const position = Math.min(Math.trunc(at), old - 1);
      at += step;
      return position;
    });
  };
  const [rows, columns] = [positions(oldHeight, height), positions(oldWidth, width)];
  const resized = new Uint8Array(3 * width * height);
  let to = 0;
  for (const y of rows) {
    for (const x of columns) {
      const from = 3 * (y * oldWidth + x);
      resized.set(data.subarray(from, from + 3), to);
      to += 3;
    }
  }
  return { width, height, data: resized };
}

/** `picture` resized, whatever its aspect, as Pillow's `Image.resize((width, height), filter)` does it. */
export function resize(picture, height, width, filter) {
  if (filter === "nearest") return nearest(picture, height, width);
  const shape = FILTERS[filter];
  if (!shape) throw new Error(`there is no filter '${filter}'`);
  let { width: oldWidth, height: oldHeight, data } = picture;
  if (width !== oldWidth) {
    const across = new Uint8Array(3 * width * oldHeight);
    const rows = (y) => [3 * y * oldWidth, 3, 3 * y * width, 3];
    along(data, across, oldHeight, rows, taps(oldWidth, width, shape));
    data = across;
  }
  if (height !== oldHeight) {
    const down = new Uint8Array(3 * width * height);
    const columns = (x) => [3 * x, 3 * width, 3 * x, 3 * width];
    along(data, down, width, columns, taps(oldHeight, height, shape));
    data = down;
  }
  return { width, height, data };
}

/** torchvision's Resize and CenterCrop: the photo covers 8/7 of the input, then its centre is cut out. */
function centreCrop(photo, input) {
  const cover = { height: Math.floor((input.height * 8) / 7), width: Math.floor((input.width * 8) / 7) };
  const widthLimits = cover.width * photo.height >= cover.height * photo.width;
  const height = widthLimits ? Math.floor((cover.width * photo.height) / photo.width) : cover.height;
  const width = widthLimits ? cover.width : Math.floor((cover.height * photo.width) / photo.height);
  const halfToEven = (margin) => Math.floor(margin / 2) + (margin % 2) * (Math.floor(margin / 2) % 2);
  return { height, width, top: halfToEven(height - input.height), left: halfToEven(width - input.width) };
}

/** The part of a photo that the model sees, in the photo's pixels. */
export function region(photo, how) {
  if (how.resize !== "crop") return { left: 0, top: 0, width: photo.width, height: photo.height };
  const crop = centreCrop(photo, how);
  const [x, y] = [photo.width / crop.width, photo.height / crop.height];
  return {
    left: crop.left * x,
    top: crop.top * y,
    width: Math.min(how.width * x, photo.width),
    height: Math.min(how.height * y, photo.height),
  };
}

/** ITU-R 601 luma in three equal channels. */
function luma({ width, height, data }) {
  const grey = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    grey.fill((data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471 + 0x8000) >> 16, i, i + 3);
  }
  return { width, height, data: grey };
}

/** A photo on the input's grid, before normalisation. `how` is what Candor's results call preprocessing. */
export function pixels(photo, how) {
  const picture = how.channels === 1 ? luma(photo) : photo;
  const { height, width, filter } = how;
  if (how.resize === "squash") return resize(picture, height, width, filter);
  const crop = centreCrop(picture, how);
  const large = resize(picture, crop.height, crop.width, filter);
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 3 * ((y + crop.top) * crop.width + crop.left);
    data.set(large.data.subarray(from, from + 3 * width), 3 * y * width);
  }
  return { width, height, data };
}

/** (v · scale − mean) / std of pixels on the input's grid, as channels × height × width. */
export function normalize({ data }, how) {
  const count = data.length / 3;
  const input = new Float32Array(how.channels * count);
  for (let c = 0; c < how.channels; c++) {
    const source = how.color === "bgr" && how.channels === 3 ? 2 - c : c;
    const levels = Float32Array.from({ length: 256 }, (_, v) => (v * how.scale - how.mean[c]) / how.std[c]);
    for (let i = 0; i < count; i++) input[c * count + i] = levels[data[3 * i + source]];
  }
  return input;
}

/** Red, green, blue and alpha as a canvas gives them, over white: what is left is opaque. */
export function opaque({ width, height, data }) {
  const picture = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3];
    for (let c = 0; c < 3; c++) {
      picture[to + c] = Math.trunc((data[from + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return { width, height, data: picture };
}

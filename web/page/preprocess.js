// From a decoded photo to a model's input, as in Candor: exactly Pillow's antialiased resize on 8-bit samples, rows first.
// A picture is { width, height, data }, data a Uint8Array with three bytes per pixel (red, green, blue), row-major.

/** Fractional bits of a weight: of 32 bits, 8 are for the sample, and two are spare. */
const PRECISION = 32 - 8 - 2;
const HALF = 1 << (PRECISION - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Radius of a filter in pixels of the coarser grid, and its value at a distance x >= 0 below the radius. */
const FILTERS = {
  bilinear: { support: 1, at: (x) => 1 - x },
  bicubic: {
    support: 2,
    at: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : (((x - 5) * x + 8) * x - 4) * -0.5),
  },
  lanczos: { support: 3, at: (x) => sinc(x) * sinc(x / 3) },
};

/** Rounds halves away from zero. */
const round = (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** For each of `length` new pixels, the first of the old pixels that it is computed from, and the weights from there on. */
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

/** Resizes in one direction, line by line: `lineOf` returns the start of a line and the distance of its samples, in `from` and in `to`. */
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
  // As in Pillow, the step is accumulated, which decides cases half-way between two pixels.
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

/** `picture` resized, ignoring its aspect ratio, as Pillow's `Image.resize((width, height), filter)` does. */
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

/** Rounds halves to even. */
const roundToEven = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** Whose rounding of sizes and margins is used for a resized photo; the results differ by a pixel. */
const ROUNDING = {
  torchvision: { along: (side, other, length) => Math.floor((length * side) / other), begin: margins },
  transformers: {
    along: (side, other, length) => Math.floor((length * side) / other),
    begin: (margin) => Math.floor(margin / 2),
  },
  timm: { along: (side, other, length) => roundToEven(side / (other / length)), begin: margins },
};

/** Half a margin; half a pixel is rounded to even for a crop, down for a border at the start. */
function margins(margin) {
  if (margin < 0) return -Math.floor(-margin / 2);
  const half = Math.floor(margin / 2);
  return half + (margin % 2) * (half % 2);
}

/** Position of the input on the resized photo: the photo's size, and where the input begins, negative if it has a border. */
function placement(photo, how) {
  const own = (side) => (how.resize === "crop" ? Math.floor((side * 8) / 7) : side);
  const [tall, wide] = how.resized ?? [own(how.height), own(how.width)];
  const { along, begin } = ROUNDING[how.rounding ?? "torchvision"];
  // Whether the photo, resized to the requested width, has at least the requested height.
  const covers = wide * photo.height >= tall * photo.width;
  let [height, width] = [tall, wide];
  if (how.resize === "crop" && covers) height = along(photo.height, photo.width, wide);
  else if (how.resize === "crop") width = along(photo.width, photo.height, tall);
  else if (how.resize === "letterbox" && !covers) height = Math.max(1, along(photo.height, photo.width, wide));
  else if (how.resize === "letterbox") width = Math.max(1, along(photo.width, photo.height, tall));
  return { height, width, top: begin(height - how.height), left: begin(width - how.width) };
}

/** ITU-R 601 luma in three equal channels. */
function luma({ width, height, data }) {
  const grey = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    grey.fill((data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471 + 0x8000) >> 16, i, i + 3);
  }
  return { width, height, data: grey };
}

/** A photo on the input's grid, before normalisation. `how` is the preprocessing from Candor's results. */
export function pixels(photo, how) {
  const picture = how.channels === 1 || how.color === "grey" ? luma(photo) : photo;
  const { height, width, filter, fill = [0, 0, 0] } = how;
  const place = placement(picture, how);
  const resized = resize(picture, place.height, place.width, filter);
  if (place.height === height && place.width === width) return resized;
  const data = new Uint8Array(3 * width * height);
  for (let to = 0; to < data.length; to += 3) data.set(fill, to);
  const [left, right] = [Math.max(place.left, 0), Math.min(place.left + width, place.width)];
  for (let y = Math.max(place.top, 0); y < Math.min(place.top + height, place.height); y++) {
    const from = 3 * y * place.width;
    const row = resized.data.subarray(from + 3 * left, from + 3 * right);
    data.set(row, 3 * ((y - place.top) * width + left - place.left));
  }
  return { width, height, data };
}

/** (v · scale − mean) / std for pixels on the input's grid, as channels × height × width. */
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

/** Red, green, blue and alpha from a canvas, composited over white. */
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

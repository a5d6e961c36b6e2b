// Planes of values { height, width, data }: maps and masks on other grids, windows, parts of a photo.

/** A map { height, width, data } at another size, with bilinear interpolation. */
export function resized(map, height, width) {
  const neighbours = (to, from) =>
    Array.from({ length: to }, (_, i) => {
      const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
      const first = Math.floor(at);
      return [first, Math.min(first + 1, from - 1), at - first];
    });
  const columns = neighbours(width, map.width);
  const data = new Float32Array(width * height);
  neighbours(height, map.height).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, across], x) => {
      const upper = top * map.width;
      const lower = bottom * map.width;
      const above = map.data[upper + left] + across * (map.data[upper + right] - map.data[upper + left]);
      const below = map.data[lower + left] + across * (map.data[lower + right] - map.data[lower + left]);
      data[y * width + x] = above + down * (below - above);
    });
  });
  return { height, width, data };
}

/** A window's mask on another grid: `inside` where a cell's centre is in the window. */
export function windowMask([top, bottom, left, right], from, to, [inside, outside]) {
  const within = (i, first, end, axis) => {
    const centre = (2 * i + 1) * from[axis];
    return centre >= 2 * first * to[axis] && centre < 2 * end * to[axis];
  };
  return Float32Array.from({ length: to[0] * to[1] }, (_, i) =>
    within(Math.floor(i / to[1]), top, bottom, 0) && within(i % to[1], left, right, 1) ? inside : outside,
  );
}

/** A plane's value at fractions of its height and width. */
function sampled({ height, width, data }, row, column) {
  const between = (share, size) => {
    const at = Math.min(Math.max(share * size - 0.5, 0), size - 1);
    const first = Math.floor(at);
    return [first, Math.min(first + 1, size - 1), at - first];
  };
  const [top, bottom, down] = between(row, height);
  const [left, right, across] = between(column, width);
  const line = (y) => data[y * width + left] + across * (data[y * width + right] - data[y * width + left]);
  return line(top) + down * (line(bottom) - line(top));
}

/** The part [top, left, bottom, right] of planes, resized to their own grid. */
export function cutOut(values, [channels, height, width], [top, left, bottom, right]) {
  const cut = new Float32Array(values.length);
  const area = height * width;
  for (let c = 0; c < channels; c++) {
    const plane = { height, width, data: values.subarray(c * area, (c + 1) * area) };
    for (let i = 0; i < area; i++) {
      const [y, x] = [(Math.floor(i / width) + 0.5) / height, ((i % width) + 0.5) / width];
      cut[c * area + i] = sampled(plane, top + (bottom - top) * y, left + (right - left) * x);
    }
  }
  return cut;
}

/** A map of a part, at its position; 0 elsewhere. */
export function laidBack(found, [top, left, bottom, right], height, width) {
  const data = new Float32Array(height * width);
  for (let i = 0; i < data.length; i++) {
    const [row, column] = [(Math.floor(i / width) + 0.5) / height, ((i % width) + 0.5) / width];
    const inside = row >= top && row < bottom && column >= left && column < right;
    if (inside) data[i] = sampled(found, (row - top) / (bottom - top), (column - left) / (right - left));
  }
  return { height, width, data };
}

/** A map at another size, with nearest-neighbour interpolation. */
export function nearest(map, height, width) {
  const at = (i, to, from) => Math.min(Math.floor(((2 * i + 1) * from) / (2 * to)), from - 1);
  const data = Float32Array.from({ length: height * width }, (_, i) => {
    return map.data[at(Math.floor(i / width), height, map.height) * map.width + at(i % width, width, map.width)];
  });
  return { height, width, data };
}

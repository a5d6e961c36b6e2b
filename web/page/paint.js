// Colours for maps, as in Candor's reports: one scale for all classes of a photo, and the photo in grey under the colours.

import { resized } from "./planes.js";

const largest = (map) => map.data.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

/**
 * The scale of a photo's maps: up to the largest magnitude of `top`, the map of the model's answer, if that sets one; else up to 1 for masks,
 * and up to the largest magnitude of `map` for other methods.
 */
export function scaleOf(top, map, { signed, search }) {
  return { max: (top && largest(top)) || (search ? 1 : largest(map)) || 1, signed };
}

/** A map alone, one pixel per value, as ImageData. */
export function painted({ height, width, data }, scale, colors) {
  const image = new ImageData(width, height);
  const palette = (scale.signed ? colors.signed : colors.positive).map(rgb);
  data.forEach((v, i) => image.data.set([...palette[indexOf(v, scale)], 255], 4 * i));
  return image;
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Opacity of the colour at a position 0..=1 of the scale: 0 at 0, and rising fast. */
const opacity = (position) => 0.8 * (1 - (1 - Math.abs(position)) ** 3);

const blend = (under, over, share) => under.map((v, i) => v + share * (over[i] - v));

const positionOf = (value, scale) => Math.min(Math.max(value / scale.max, scale.signed ? -1 : 0), 1);

/** Index of a value's colour; 255 colours for a signed scale, so that 0 has its own. */
const indexOf = (value, scale) => Math.round(scale.signed ? 127 + 127 * positionOf(value, scale) : 255 * positionOf(value, scale));

/** Paints `map` over the pixels of `image` (an ImageData), in place. `strength` 0..=1 scales the opacity of the colours. */
export function overlay(image, map, scale, colors, strength = 1) {
  const { width, height, data } = image;
  const palette = (scale.signed ? colors.signed : colors.positive).map(rgb);
  const { data: values } = resized(map, height, width);
  for (let i = 0; i < values.length; i++) {
    const position = positionOf(values[i], scale);
    const luma = 0.2126 * data[4 * i] + 0.7152 * data[4 * i + 1] + 0.0722 * data[4 * i + 2];
    const grey = scale.signed ? 70 + 0.7 * luma : 24 + 0.68 * luma;
    data.set(blend([grey, grey, grey], palette[indexOf(values[i], scale)], strength * opacity(position)), 4 * i);
  }
  return image;
}

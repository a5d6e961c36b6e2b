// Photos as pixels, and pixels on canvases.

import { state } from "./state.js";

/** Decodes as Candor does: upright, without colour management. */
export async function decode(blob) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, data };
}

/** The part of the photo that the network sees. */
export const seenPixels = () => {
  const { width, height, data } = state.photo.seen;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  return image;
};

/** Draws an image on a canvas in the photo's own aspect ratio; its longer side is `side`. */
export function draw(canvas, image, side) {
  const small = new OffscreenCanvas(image.width, image.height);
  small.getContext("2d").putImageData(image, 0, 0);
  const [w, h] = state.page.preprocessing.resize === "squash" ? state.photo.size : [image.width, image.height];
  const scale = side / Math.max(w, h);
  [canvas.width, canvas.height] = [Math.max(1, Math.round(w * scale)), Math.max(1, Math.round(h * scale))];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

// The state of the page: set in page.js, shown by it and by cards.js.

import { $ } from "./elements.js";

export const state = {
  /** The content of page.json, which Candor wrote. */
  page: null,
  /** The photo: its name, its size, the part that the network sees, its logits. */
  photo: null,
  /** The requested classes, in order, and the results: `method class` → { map, seconds, … } or { failed }. */
  asked: [],
  found: new Map(),
};

export const chosen = () => state.page.methods.filter((m) => $(`method-${m.name}`).checked);
export const key = (method, id) => `${method.name} ${id}`;

/** Probabilities from logits: softmax if classes exclude each other, else one sigmoid each. */
export function probabilities(logits) {
  if (!state.page.model.exclusive || logits.length === 1) return logits.map((v) => 1 / (1 + Math.exp(-v)));
  const most = Math.max(...logits);
  const powers = Array.from(logits, (v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

// What is on the page: set in page.js, shown by it and by cards.js.

import { $ } from "./elements.js";

export const state = {
  /** What Candor wrote: page.json. */
  page: null,
  /** The photo: its name, its size, what the network sees of it, its logits. */
  photo: null,
  /** The classes asked about it, in order, and what was found: `method class` → { map, seconds, … } or { failed }. */
  asked: [],
  found: new Map(),
};

export const chosen = () => state.page.methods.filter((m) => $(`method-${m.name}`).checked);
export const key = (method, id) => `${method.name} ${id}`;

/** Probabilities of logits: shares of all classes where these exclude each other, else one by one. */
export function probabilities(logits) {
  if (!state.page.model.exclusive || logits.length === 1) return logits.map((v) => 1 / (1 + Math.exp(-v)));
  const most = Math.max(...logits);
  const powers = Array.from(logits, (v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

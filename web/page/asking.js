// Sends requests from the page to the worker, and receives its answers.

import { $ } from "./elements.js";

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let count = 0;

/** Sends a request to the worker; `progress` is called with the fraction done. The promise has `stop()`, after which it resolves to null. */
export function ask(job, request = {}, progress = () => {}) {
  const id = ++count;
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject, progress }));
  worker.postMessage({ id, job, ...request });
  answer.stop = () => worker.postMessage({ job: "stop", of: id });
  return answer;
}

worker.onmessage = ({ data: { id, progress, done, failed } }) => {
  const asker = waiting.get(id);
  if (!asker) return;
  if (progress !== undefined) return asker.progress(progress);
  waiting.delete(id);
  if (failed) asker.reject(new Error(failed));
  else asker.resolve(failed === null ? null : done);
};
worker.onerror = (event) => tell(`The network could not be loaded: ${event.message ?? "the browser refuses to start it"}.`, true);

/** Shows a status message. */
export const tell = (text, warning = false) => {
  $("status").textContent = text;
  $("status").classList.toggle("warning", warning);
};

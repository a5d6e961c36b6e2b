// The content of the page, and its requests to the worker.

import { ask, tell } from "./asking.js";
import { card, fold, stem, verdictOf } from "./cards.js";
import { $, download, element, percent, seconds } from "./elements.js";
import { decode, draw, seenPixels } from "./picture.js";
import { chosen, key, probabilities, state } from "./state.js";
import { mass, ranking } from "./verdict.js";

// --- a photo --------------------------------------------------------------------------------------------------------------------

let latest = 0;

async function show(blob, name) {
  const mine = ++latest;
  tell(`Reading ${name} …`);
  let picture;
  try {
    picture = await decode(blob);
  } catch {
    tell(`${name} is no picture that this browser can read; try a JPEG, PNG or WebP file.`, true);
    return;
  }
  if (mine !== latest) return;
  stopAll();
  try {
    const answer = await ask("answer", { picture });
    if (mine !== latest) return;
    state.photo = { name, size: [picture.width, picture.height], ...answer };
  } catch (error) {
    tell(`The network failed on ${name}: ${error.message}`, true);
    return;
  }
  [state.asked, state.found] = [[], new Map()];
  fold();
  paintSeen();
  listTop();
  tell(`${name}: answered in ${seconds(state.photo.seconds)} on this device (${state.page.backend}).`);
  askFor(ranking(state.photo.logits)[0]);
}

function paintSeen() {
  draw($("seen"), seenPixels(), 448);
  $("seen").setAttribute("aria-label", `${state.photo.name}, as the network sees it`);
}

function listTop() {
  const shares = probabilities(state.photo.logits);
  const best = ranking(state.photo.logits).slice(0, 5);
  $("top").replaceChildren(
    ...best.map((id) => {
      const bar = element("i");
      bar.style.width = `${100 * shares[id]}%`;
      const button = element(
        "button",
        { type: "button", onclick: () => askFor(id) },
        element("span", { className: "name", textContent: state.page.labels[id] }),
        element("span", { className: "quiet", textContent: percent(shares[id]) }),
        element("span", { className: "track" }, bar),
      );
      button.dataset.class = id;
      return element("li", {}, button);
    }),
  );
}

// --- maps -----------------------------------------------------------------------------------------------------------------------

let running = [];
function stopAll() {
  running.forEach((job) => job.stop());
  running = [];
}

function askFor(id) {
  if (!state.photo) {
    $("unknown").textContent = "Choose a photo first.";
    return;
  }
  state.asked = [id, ...state.asked.filter((other) => other !== id)];
  render();
}

/** Starts the computation for a class and a method. The map of the model's answer comes first, since it sets the scale. */
async function compute(method, id) {
  const of = state.photo;
  const entry = { progress: 0 };
  state.found.set(key(method, id), entry);
  const job = ask("explain", { method: method.name, class: id }, (share) => {
    entry.progress = share;
    const bar = document.querySelector(`progress[data-key="${key(method, id)}"]`);
    if (bar) bar.value = share;
  });
  entry.stop = () => job.stop();
  running.push(job);
  try {
    const done = await job;
    if (of !== state.photo) return;
    if (done) Object.assign(entry, done);
    else entry.ended = true;
  } catch (error) {
    if (of !== state.photo) return;
    entry.failed = error.message;
  }
  running = running.filter((other) => other !== job);
  render();
}

function render() {
  const methods = chosen();
  $("none").hidden = Boolean(state.photo);
  $("json").disabled = !state.photo;
  if (!state.photo) return;
  const top = ranking(state.photo.logits)[0];
  for (const method of methods) {
    for (const id of [top, ...state.asked]) if (!state.found.has(key(method, id))) compute(method, id);
  }
  const shares = probabilities(state.photo.logits);
  const ranks = new Map(ranking(state.photo.logits).map((id, i) => [id, i + 1]));
  $("rows").replaceChildren(
    ...state.asked.map((id) => {
      const remove = element("button", { type: "button", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove ${state.page.labels[id]}`);
      remove.onclick = () => {
        state.asked = state.asked.filter((other) => other !== id);
        render();
      };
      const title = element(
        "header",
        {},
        element("h3", { textContent: state.page.labels[id] }),
        element("span", { className: "quiet", textContent: `rank ${ranks.get(id)} of ${state.page.model.classes}, ${percent(shares[id])}` }),
        remove,
      );
      const cards = element("div", { className: "cards" }, ...methods.map((m) => card(m, id, render)));
      const row = element("section", { className: "asked" }, title, cards);
      row.dataset.class = id;
      return row;
    }),
  );
  for (const button of $("top").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(state.asked.includes(Number(button.dataset.class))));
  }
}

// --- downloads ------------------------------------------------------------------------------------------------------------------

/** The results, with the names of Candor's own results. */
function results() {
  const shares = probabilities(state.photo.logits);
  const queries = state.asked.flatMap((id) =>
    state.page.methods
      .filter((m) => state.found.get(key(m, id))?.map)
      .map((m) => {
        const { map, seconds } = state.found.get(key(m, id));
        const entry = state.found.get(key(m, id));
        const plain = ({ height, width, data }) => ({ height, width, data: Array.from(data) });
        const { log_odds, null_log_odds, evidence, judged, lambda, kept } = entry;
        const levels = entry.levels?.map(({ value, shape, mean }) => ({ value, shape, mass: mass(mean), mean: plain(mean) }));
        const figures = m.search ? { log_odds, null_log_odds, evidence, judged, lambda, kept, levels } : {};
        return { class_id: id, class_name: state.page.labels[id], method: m.name, parameters: m.parameters, score: state.photo.logits[id], probability: shares[id], verdict: verdictOf(m, id), seconds, ...figures, map: plain(map) };
      }),
  );
  return { candor: state.page.candor, model: state.page.model, preprocessing: state.page.preprocessing, backend: state.page.backend, photo: state.photo.name, logits: Array.from(state.photo.logits), queries };
}

// --- start ----------------------------------------------------------------------------------------------------------------------

function listen() {
  const images = (list) => [...(list ?? [])].find((item) => item.type.startsWith("image/") || item.type === "");
  $("file").onchange = () => $("file").files[0] && show($("file").files[0], $("file").files[0].name);
  const drop = document.body;
  drop.ondragover = (event) => (event.preventDefault(), $("drop").classList.add("over"));
  drop.ondragleave = () => $("drop").classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    const file = event.dataTransfer.files[0];
    if (file) show(file, file.name);
  };
  document.onpaste = (event) => {
    const item = images(event.clipboardData?.files);
    if (item) show(item, item.name || "pasted picture");
  };
  $("ask").onsubmit = (event) => {
    event.preventDefault();
    const wanted = $("class").value.trim().toLowerCase();
    if (!wanted) return;
    const names = state.page.labels.map((name) => name.toLowerCase());
    const word = (name) => name.split(/[^\p{L}\p{N}]+/u).includes(wanted);
    const exact = names.findIndex((name) => name === wanted || name.split(",").some((part) => part.trim() === wanted));
    const near = names.flatMap((name, i) => (word(name) ? [i] : []));
    const id = exact >= 0 ? exact : near.length === 1 ? near[0] : -1;
    if (id >= 0) {
      $("unknown").textContent = "";
      $("class").value = "";
      askFor(id);
    } else if (near.length) {
      $("unknown").textContent = `Which one: ${near.slice(0, 6).map((i) => state.page.labels[i]).join("; ")}?`;
    } else {
      $("unknown").textContent = `The network does not know '${wanted}'; choose from its ${state.page.labels.length} classes.`;
    }
  };
  $("strength").onchange = render;
  $("reveal").oninput = () => {
    for (const canvas of document.querySelectorAll("canvas.over")) canvas.style.clipPath = `inset(0 ${100 - $("reveal").value}% 0 0)`;
  };
  $("json").onclick = () => download(new Blob([JSON.stringify(results())], { type: "application/json" }), `${stem()}.json`);
  $("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  $("camera").onclick = camera;
}

async function camera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    tell(`The camera cannot be used: ${error.message}`, true);
    return;
  }
  const [video, snap] = [$("video"), $("snap")];
  video.srcObject = stream;
  await video.play();
  video.hidden = snap.hidden = false;
  snap.onclick = async () => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0);
    for (const track of stream.getTracks()) track.stop();
    video.hidden = snap.hidden = true;
    show(await canvas.convertToBlob({ type: "image/png" }), "camera");
  };
}

const fetchBlob = async (file) => (await fetch(file)).blob();

/** Largest accepted difference from Candor's own results, relative to the largest magnitude. */
const CLOSE = 1e-3;
let checked = "";

/** Opens the network. If WebGPU is available but does not compute what Candor computes, uses WebAssembly and says so. */
async function start() {
  const picture = await decode(await fetchBlob(state.page.check.photo));
  let fallback = "";
  for (const webgpu of state.page.webgpu ? [true, false] : [false]) {
    try {
      const opened = await ask("open", { webgpu });
      state.page.backend = opened.backend;
      if (opened.why) fallback = `${opened.why}: WebAssembly is used. `;
      const { differences } = await ask("check", { picture });
      const worst = Math.max(...differences.map(([, d]) => (Number.isNaN(d) ? Infinity : d)));
      const words = differences.map(([what, d]) => `${what} by ${d.toExponential(1)}`).join(", ");
      document.body.dataset.check = worst;
      document.body.dataset.backend = opened.webgpu ? "webgpu" : "wasm";
      if (worst <= CLOSE) {
        checked = ` Checked on a photo: this browser differs from Candor in ${words} (relative).`;
        return fallback;
      }
      if (!opened.webgpu) throw new Error(`this browser does not compute what Candor computes (differs in ${words})`);
      fallback = `WebGPU does not compute what Candor computes here (differs in ${words}): WebAssembly is used. `;
    } catch (error) {
      if (!webgpu) throw error;
      fallback = `WebGPU failed (${error.message}): WebAssembly is used. `;
    }
  }
}

async function begin() {
  state.page = await (await fetch("page.json")).json();
  $("model").textContent = state.page.model.name;
  document.title = `Is it in the photo? – ${state.page.model.name} – Candor`;
  $("labels").append(...state.page.labels.map((value) => element("option", { value })));
  state.page.methods.forEach((method, i) => {
    const box = element("input", { type: "checkbox", id: `method-${method.name}`, checked: i < 2, onchange: render });
    const words = element("span", {}, element("b", { textContent: method.name }), ` – ${method.summary}`);
    $("methods").append(element("label", {}, box, words));
  });
  $("samples").append(
    ...state.page.samples.map((name) => {
      const button = element("button", { type: "button" }, element("img", { src: `samples/${name}`, alt: name }));
      button.onclick = async () => show(await fetchBlob(`samples/${name}`), name);
      return element("li", {}, button);
    }),
  );
  listen();
  document.querySelector("main").hidden = false;
  const fallback = await start();
  tell(`${fallback}Ready. Nothing that you show it leaves this device.`);
  $("about").textContent = `Candor ${state.page.candor}; ${state.page.model.name}, SHA-256 ${state.page.model.sha256}; ${state.page.formula}; ${state.page.backend}.${checked}`;
  document.body.dataset.ready = "true";
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});
}

begin().catch((error) => tell(`The page could not be opened: ${error.message}`, true));

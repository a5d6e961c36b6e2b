// What the page shows, and what it asks of the worker.

import { overlay, painted, scaleOf } from "./paint.js";
import { discoveries, mass, ranking, verdict as judge } from "./search.js";

const $ = (id) => document.getElementById(id);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const seconds = (s) => `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
const percent = (p) => (p >= 0.0005 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %");

// --- the worker -----------------------------------------------------------------------------------------------------------------

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let count = 0;

/** Asks the worker; `progress` is told shares of the whole. The promise has `stop()`, after which it gives null. */
function ask(job, request = {}, progress = () => {}) {
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

// --- state ----------------------------------------------------------------------------------------------------------------------

let page;
/** The photo on the page: its name, its picture (RGBA) as decoded, the network's logits. */
let photo = null;
/** The classes asked about this photo, in order, and what was found: `method class` → { map, seconds } or { failed }. */
let asked = [];
let found = new Map();

const tell = (text, warning = false) => {
  $("status").textContent = text;
  $("status").classList.toggle("warning", warning);
};

const chosen = () => page.methods.filter((m) => $(`method-${m.name}`).checked);
const key = (method, id) => `${method.name} ${id}`;

/** Probabilities of logits: shares of all classes where these exclude each other, else one by one. */
function probabilities(logits) {
  if (!page.model.exclusive || logits.length === 1) return logits.map((v) => 1 / (1 + Math.exp(-v)));
  const most = Math.max(...logits);
  const powers = Array.from(logits, (v) => Math.exp(v - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

// --- a photo --------------------------------------------------------------------------------------------------------------------

/** Decodes as Candor reads: upright, without colour management. */
async function decode(blob) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, data };
}

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
    photo = { name, size: [picture.width, picture.height], ...answer };
  } catch (error) {
    tell(`The network failed on ${name}: ${error.message}`, true);
    return;
  }
  [asked, found] = [[], new Map()];
  unfolded.clear();
  weakShown.clear();
  paintSeen();
  listTop();
  tell(`${name}: answered in ${seconds(photo.seconds)} on this device (${page.backend}).`);
  askFor(ranking(photo.logits)[0]);
}

const seenPixels = () => {
  const { width, height, data } = photo.seen;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  return image;
};

/** Draws an image on a canvas at the photo's own aspect, as large as `side`. */
function draw(canvas, image, side) {
  const small = new OffscreenCanvas(image.width, image.height);
  small.getContext("2d").putImageData(image, 0, 0);
  const [w, h] = page.preprocessing.resize === "squash" ? photo.size : [image.width, image.height];
  const scale = side / Math.max(w, h);
  [canvas.width, canvas.height] = [Math.max(1, Math.round(w * scale)), Math.max(1, Math.round(h * scale))];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

function paintSeen() {
  draw($("seen"), seenPixels(), 448);
  $("seen").setAttribute("aria-label", `${photo.name}, as the network sees it`);
}

function listTop() {
  const shares = probabilities(photo.logits);
  const best = ranking(photo.logits).slice(0, 5);
  $("top").replaceChildren(
    ...best.map((id) => {
      const bar = element("i");
      bar.style.width = `${100 * shares[id]}%`;
      const button = element(
        "button",
        { type: "button", onclick: () => askFor(id) },
        element("span", { className: "name", textContent: page.labels[id] }),
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
  if (!photo) {
    $("unknown").textContent = "Choose a photo first.";
    return;
  }
  asked = [id, ...asked.filter((other) => other !== id)];
  render();
}

/** Starts what is missing for a class and a method. The map of the model's answer comes first: it sets the scale. */
async function compute(method, id) {
  const of = photo;
  const entry = { progress: 0 };
  found.set(key(method, id), entry);
  const job = ask("explain", { method: method.name, class: id }, (share) => {
    entry.progress = share;
    const bar = document.querySelector(`progress[data-key="${key(method, id)}"]`);
    if (bar) bar.value = share;
  });
  entry.stop = () => job.stop();
  running.push(job);
  try {
    const done = await job;
    if (of !== photo) return;
    if (done) Object.assign(entry, done);
    else entry.ended = true;
  } catch (error) {
    if (of !== photo) return;
    entry.failed = error.message;
  }
  running = running.filter((other) => other !== job);
  render();
}

/** Verdicts in words, their look, and what they say. */
const VERDICTS = {
  evidence: ["evidence", "yes", ""],
  weak: ["weak evidence", "open", "more classes that are not there show as much than one in a hundred"],
  "no-evidence": ["no evidence", "no", "nothing in the photo speaks for it: the empty map is the answer"],
  lost: ["not judged", "open", "the mask lost the class: do not read this map"],
  "not-judged": ["not judged", "open", "this method has no null to judge against"],
};

/** What shows a class, in words. */
const GROUNDS = { photo: "the whole photo", place: "a place by itself", "closer-look": "a closer look" };

/** The verdict of a map: among all classes asked for, and that with the lowest score, as Candor judges a run. */
function verdictOf(method, id) {
  const entry = found.get(key(method, id));
  if (!method.search) return "not-judged";
  const { plan } = method.search;
  const others = asked.filter((c) => c !== id && found.get(key(method, c))?.judged);
  const p = [id, ...others].map((c) => found.get(key(method, c)).judged?.p_value);
  if (!asked.includes(entry.lowest) && entry.lowest !== id) p.push(entry.lowest_p_value);
  return judge(entry, plan, !entry.judged || discoveries(p, plan.discoveries)[0]);
}

/** How a verdict is shown. */
const told = (method, verdict) => VERDICTS[verdict === "not-judged" && method.search ? "lost" : verdict];

/** The scale of a method's maps: that of the map of the model's answer, if the answer has evidence. */
function scaleFor(method, entry) {
  const top = ranking(photo.logits)[0];
  const sets = !method.search || !["no-evidence", "weak"].includes(verdictOf(method, top));
  return scaleOf(sets ? found.get(key(method, top)).map : null, entry.map, method);
}

/** Cards whose details are open, and whose weak map is shown, by key: they stay so when the cards are made anew. */
const unfolded = new Set();
const weakShown = new Set();

function card(method, id) {
  const top = ranking(photo.logits)[0];
  const name = key(method, id);
  const entry = found.get(name);
  const under = element("canvas");
  draw(under, seenPixels(), 448);
  under.setAttribute("aria-hidden", "true");
  const outcome = element("div", { className: "outcome" });
  const body = element("article", { className: "card" }, element("h4", { textContent: method.name }));
  if (entry?.map && found.get(key(method, top))?.map) {
    body.append(...shown(method, id, entry, under, outcome));
    return body;
  }
  if (entry?.failed) {
    outcome.append(element("p", { className: "failed", textContent: `failed: ${entry.failed}` }));
  } else if (entry?.ended) {
    const again = element("button", { type: "button", textContent: "Compute it after all" });
    again.onclick = () => {
      found.delete(name);
      render();
    };
    outcome.append(element("p", { className: "quiet", textContent: "Cancelled." }), again);
  } else {
    const bar = element("progress", { max: 1, value: entry?.progress ?? 0 });
    bar.dataset.key = name;
    bar.setAttribute("aria-label", `${method.name} of ${page.labels[id]}`);
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => entry?.stop?.() });
    cancel.setAttribute("aria-label", `Cancel ${method.name} of ${page.labels[id]}`);
    outcome.append(bar, cancel);
  }
  body.append(element("div", { className: "stack" }, under), outcome);
  return body;
}

/** What a card shows of a map that is there. */
function shown(method, id, entry, under, outcome) {
  const name = key(method, id);
  const verdict = verdictOf(method, id);
  const [word, kind, reason] = told(method, verdict);
  // A map of weak evidence is not painted unless it is asked for, as in Candor's reports.
  const hidden = verdict === "weak" && !method.search.plan.show_weak && !weakShown.has(name);
  const map = hidden ? { ...entry.map, data: new Float32Array(entry.map.data.length) } : entry.map;
  const scale = scaleFor(method, entry);
  const over = element("canvas", { className: "over" });
  draw(over, overlay(seenPixels(), map, scale, page.colors, $("strength").value / 100), 448);
  over.setAttribute("aria-hidden", "true");
  over.style.clipPath = `inset(0 ${100 - $("reveal").value}% 0 0)`;
  const words = `${method.name}, ${page.labels[id]}: ${word}`;
  const stack = element("button", { type: "button", className: "stack", onclick: () => open(over, words) }, under, over);
  stack.setAttribute("aria-label", `Enlarge the map: ${words}`);
  const png = element("button", { type: "button", textContent: "PNG" });
  png.setAttribute("aria-label", `Download ${words} as PNG`);
  png.onclick = () => over.toBlob((blob) => download(blob, `${stem()}-${method.name}-${id}.png`));
  outcome.append(
    element("p", { className: `verdict ${kind}`, textContent: word }),
    element("p", { className: "quiet", textContent: reason || summary(entry) }),
  );
  const row = element("div", { className: "row" }, element("span", { className: "quiet", textContent: seconds(entry.seconds) }), png);
  if (verdict === "weak" && !method.search.plan.show_weak) {
    const weak = element("button", { type: "button", textContent: weakShown.has(name) ? "Hide the weak map" : "Show the weak map" });
    weak.setAttribute("aria-pressed", String(weakShown.has(name)));
    weak.onclick = () => (weakShown.delete(name) || weakShown.add(name), render());
    row.append(weak);
  }
  outcome.append(row);
  return [stack, outcome, ...(method.search ? [details(method, id, entry)] : [])];
}

const odds = (v) => `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)}`;

/** What the masks keep of the evidence. */
function kept(entry) {
  const above = entry.kept.log_odds - entry.null_log_odds;
  if (!(entry.evidence > 0)) return "–";
  return above <= 0 ? "none" : `${odds(above)} (${(100 * above) / entry.evidence > 200 ? "more than 200" : ((100 * above) / entry.evidence).toFixed(0)} %)`;
}

const summary = (entry) => `evidence ${odds(entry.evidence)}, kept ${kept(entry)}`;

/** Figures and the masks of each level, unfolded on demand. */
function details(method, id, entry) {
  const name = key(method, id);
  const top = found.get(key(method, ranking(photo.logits)[0]));
  const sets = !["no-evidence", "weak"].includes(verdictOf(method, ranking(photo.logits)[0]));
  const rows = [
    ["Log-odds", odds(entry.log_odds)],
    ["Null log-odds (at least chance)", odds(entry.null_log_odds)],
    ["Evidence (log-odds above the null)", odds(entry.evidence)],
    ["Kept by the masks", kept(entry)],
    ...(entry.judged ? [["Shown by", GROUNDS[entry.judged.ground]], ["Absent classes that show as much", percent(entry.judged.p_value)]] : []),
    ["λ", entry.lambda.toPrecision(3)],
    ["Mass of the map", mass(entry.map).toPrecision(3)],
  ];
  const figures = element("dl", {}, ...rows.map(([what, value]) => element("div", {}, element("dt", { textContent: what }), element("dd", { textContent: value }))));
  const tiles = entry.levels.map((level, l) => {
    const canvas = element("canvas");
    const scale = scaleOf(sets ? top.levels[l].mean : null, level.mean, { signed: false, search: true });
    const image = painted(level.mean, scale, page.colors);
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Mean mask at ${level.value}`);
    const caption = element("figcaption", {}, element("b", { textContent: level.value }), element("br"), level.shape.join(" × "), element("br"), `mass ${mass(level.mean).toPrecision(3)}`);
    return element("figure", {}, canvas, caption);
  });
  const box = element("details", { open: unfolded.has(name) }, element("summary", { textContent: "Evidence and levels" }), figures, element("div", { className: "tiles" }, ...tiles));
  box.ontoggle = () => (box.open ? unfolded.add(name) : unfolded.delete(name));
  return box;
}

function render() {
  const methods = chosen();
  $("none").hidden = Boolean(photo);
  $("json").disabled = !photo;
  if (!photo) return;
  const top = ranking(photo.logits)[0];
  for (const method of methods) {
    for (const id of [top, ...asked]) if (!found.has(key(method, id))) compute(method, id);
  }
  const shares = probabilities(photo.logits);
  const ranks = new Map(ranking(photo.logits).map((id, i) => [id, i + 1]));
  $("rows").replaceChildren(
    ...asked.map((id) => {
      const remove = element("button", { type: "button", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove ${page.labels[id]}`);
      remove.onclick = () => {
        asked = asked.filter((other) => other !== id);
        render();
      };
      const title = element(
        "header",
        {},
        element("h3", { textContent: page.labels[id] }),
        element("span", { className: "quiet", textContent: `rank ${ranks.get(id)} of ${page.model.classes}, ${percent(shares[id])}` }),
        remove,
      );
      const cards = element("div", { className: "cards" }, ...methods.map((m) => card(m, id)));
      const row = element("section", { className: "asked" }, title, cards);
      row.dataset.class = id;
      return row;
    }),
  );
  for (const button of $("top").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(asked.includes(Number(button.dataset.class))));
  }
}

function open(canvas, words) {
  const target = $("large").querySelector("canvas");
  [target.width, target.height] = [canvas.width, canvas.height];
  target.getContext("2d").drawImage(canvas, 0, 0);
  $("large").querySelector("p").textContent = words;
  $("large").showModal();
}

// --- downloads ------------------------------------------------------------------------------------------------------------------

const stem = () => photo.name.replace(/\.[^.]*$/, "") || "photo";

function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** What was found, in the words of Candor's own results. */
function results() {
  const shares = probabilities(photo.logits);
  const queries = asked.flatMap((id) =>
    page.methods
      .filter((m) => found.get(key(m, id))?.map)
      .map((m) => {
        const { map, seconds } = found.get(key(m, id));
        const entry = found.get(key(m, id));
        const plain = ({ height, width, data }) => ({ height, width, data: Array.from(data) });
        const { log_odds, null_log_odds, evidence, judged, lambda, kept } = entry;
        const levels = entry.levels?.map(({ value, shape, mean }) => ({ value, shape, mass: mass(mean), mean: plain(mean) }));
        const figures = m.search ? { log_odds, null_log_odds, evidence, judged, lambda, kept, levels } : {};
        return { class_id: id, class_name: page.labels[id], method: m.name, parameters: m.parameters, score: photo.logits[id], probability: shares[id], verdict: verdictOf(m, id), seconds, ...figures, map: plain(map) };
      }),
  );
  return { candor: page.candor, model: page.model, preprocessing: page.preprocessing, backend: page.backend, photo: photo.name, logits: Array.from(photo.logits), queries };
}

// --- begin ----------------------------------------------------------------------------------------------------------------------

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
    const names = page.labels.map((name) => name.toLowerCase());
    const word = (name) => name.split(/[^\p{L}\p{N}]+/u).includes(wanted);
    const exact = names.findIndex((name) => name === wanted || name.split(",").some((part) => part.trim() === wanted));
    const near = names.flatMap((name, i) => (word(name) ? [i] : []));
    const id = exact >= 0 ? exact : near.length === 1 ? near[0] : -1;
    if (id >= 0) {
      $("unknown").textContent = "";
      $("class").value = "";
      askFor(id);
    } else if (near.length) {
      $("unknown").textContent = `Which one: ${near.slice(0, 6).map((i) => page.labels[i]).join("; ")}?`;
    } else {
      $("unknown").textContent = `The network does not know '${wanted}'; choose from its ${page.labels.length} classes.`;
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

/** Largest difference from Candor's own answers, of the largest magnitude, at which a browser is believed. */
const CLOSE = 1e-3;
let checked = "";

/** Opens the network. Where WebGPU is there but does not compute what Candor computes, WebAssembly does; says so then. */
async function start() {
  const picture = await decode(await fetchBlob(page.check.photo));
  let fallback = "";
  for (const webgpu of page.webgpu ? [true, false] : [false]) {
    try {
      const opened = await ask("open", { webgpu });
      page.backend = opened.backend;
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
  page = await (await fetch("page.json")).json();
  $("model").textContent = page.model.name;
  document.title = `Is it in the photo? – ${page.model.name} – Candor`;
  $("labels").append(...page.labels.map((value) => element("option", { value })));
  page.methods.forEach((method, i) => {
    const box = element("input", { type: "checkbox", id: `method-${method.name}`, checked: i < 2, onchange: render });
    const words = element("span", {}, element("b", { textContent: method.name }), ` – ${method.summary}`);
    $("methods").append(element("label", {}, box, words));
  });
  $("samples").append(
    ...page.samples.map((name) => {
      const button = element("button", { type: "button" }, element("img", { src: `samples/${name}`, alt: name }));
      button.onclick = async () => show(await fetchBlob(`samples/${name}`), name);
      return element("li", {}, button);
    }),
  );
  listen();
  document.querySelector("main").hidden = false;
  const fallback = await start();
  tell(`${fallback}Ready. Nothing that you show it leaves this device.`);
  $("about").textContent = `Candor ${page.candor}; ${page.model.name}, SHA-256 ${page.model.sha256}; ${page.formula}; ${page.backend}.${checked}`;
  document.body.dataset.ready = "true";
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});
}

begin().catch((error) => tell(`The page could not be opened: ${error.message}`, true));

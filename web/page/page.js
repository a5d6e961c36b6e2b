// What the page shows, and what it asks of the worker.


import { overlay, scaleOf, largest } from "./paint.js";

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
let threads = 1;
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

const ranking = (logits) => Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);

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

const verdictOf = (method, map) => {
  if (!method.judged) return ["not judged", "", "this method has no null to judge against"];
  return largest(map) > 0 ? ["evidence", "yes", ""] : ["no evidence", "no", "nothing in the photo speaks for it: the empty map is the answer"];
};

function card(method, id) {
  const top = ranking(photo.logits)[0];
  const entry = found.get(key(method, id));
  const scaleEntry = found.get(key(method, top));
  const body = element("article", { className: "card" }, element("h4", { textContent: method.name }));
  if (entry?.failed) {
    body.append(element("p", { className: "failed", textContent: `failed: ${entry.failed}` }));
  } else if (entry?.ended) {
    const again = element("button", { type: "button", textContent: "Compute it after all" });
    again.onclick = () => {
      found.delete(key(method, id));
      render();
    };
    body.append(element("p", { className: "quiet", textContent: "Cancelled." }), again);
  } else if (!entry?.map || !scaleEntry?.map) {
    const bar = element("progress", { max: 1, value: entry?.progress ?? 0 });
    bar.dataset.key = key(method, id);
    bar.setAttribute("aria-label", `${method.name} of ${page.labels[id]}`);
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => entry?.stop?.() });
    body.append(element("div", { className: "wait" }, bar, cancel));
  } else {
    const scale = scaleOf(scaleEntry.map, entry.map, method);
    const [under, over] = [element("canvas"), element("canvas", { className: "over" })];
    draw(under, seenPixels(), 448);
    draw(over, overlay(seenPixels(), entry.map, scale, page.colors, $("strength").value / 100), 448);
    over.style.clipPath = `inset(0 ${100 - $("reveal").value}% 0 0)`;
    const [verdict, kind, reason] = verdictOf(method, entry.map);
    const words = `${method.name}, ${page.labels[id]}: ${verdict}`;
    over.setAttribute("role", "img");
    over.setAttribute("aria-label", words);
    over.tabIndex = 0;
    const enlarge = () => open(over, words);
    over.onclick = enlarge;
    over.onkeydown = (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), enlarge());
    const png = element("button", { type: "button", textContent: "PNG" });
    png.setAttribute("aria-label", `Download ${words} as PNG`);
    png.onclick = () => over.toBlob((blob) => download(blob, `${stem()}-${method.name}-${id}.png`));
    body.append(
      element("div", { className: "stack" }, under, over),
      element("p", { className: `verdict ${kind}`, textContent: verdict, title: reason }),
      ...(reason ? [element("p", { className: "quiet", textContent: reason })] : []),
      element("div", { className: "row" }, element("span", { className: "quiet", textContent: seconds(entry.seconds) }), png),
    );
  }
  return body;
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
        const verdict = verdictOf(m, map)[0].replace(" ", "-");
        return { class_id: id, class_name: page.labels[id], method: m.name, parameters: m.parameters, score: photo.logits[id], probability: shares[id], verdict, seconds, map: { height: map.height, width: map.width, data: Array.from(map.data) } };
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

/** The page computes the check's photo, of which Candor's own answers are known. */
async function check() {
  const picture = await decode(await fetchBlob(page.check.photo));
  const { differences } = await ask("check", { picture });
  const worst = Math.max(...differences.map(([, d]) => d));
  document.body.dataset.check = worst;
  const words = differences.map(([what, d]) => `${what} by ${d.toExponential(1)}`).join(", ");
  if (worst > 1e-3) tell(`This browser does not compute what Candor computes (differs in ${words}): do not trust its maps.`, true);
  else $("about").textContent += ` Checked on a photo: this browser differs from Candor in ${words} (relative).`;
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
  ({ threads } = await ask("open"));
  page.backend = `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  tell("Ready. Nothing that you show it leaves this device.");
  $("about").textContent = `Candor ${page.candor}; ${page.model.name}, SHA-256 ${page.model.sha256}; ${page.formula}; ${page.backend}.`;
  document.body.dataset.ready = "true";
  await check();
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});
}

begin().catch((error) => tell(`The page could not be opened: ${error.message}`, true));

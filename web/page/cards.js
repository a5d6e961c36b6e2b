// Shows a map: the map over the photo, the verdict, and on demand its numbers and levels.

import { $, download, element, odds, percent, seconds } from "./elements.js";
import { overlay, painted, scaleOf } from "./paint.js";
import { draw, seenPixels } from "./picture.js";
import { key, state } from "./state.js";
import { discoveries, mass, ranking, verdict as judge } from "./verdict.js";

/** Verdicts: in words, their style, and their explanation. */
const VERDICTS = {
  evidence: ["evidence", "yes", ""],
  weak: ["weak evidence", "open", "more classes that are not there show as much than one in a hundred"],
  "no-evidence": ["no evidence", "no", "nothing in the photo speaks for it: the empty map is the answer"],
  lost: ["not judged", "open", "the mask lost the class: do not read this map"],
  "not-judged": ["not judged", "open", "this method has no null to judge against"],
};

/** What shows a class, in words. */
const GROUNDS = { photo: "the whole photo", place: "a place by itself", "closer-look": "a closer look" };

/** The verdict of a map, among all requested classes and the one with the lowest score, as Candor judges a run. */
export function verdictOf(method, id) {
  const entry = state.found.get(key(method, id));
  if (!method.search) return "not-judged";
  const { plan } = method.search;
  const others = state.asked.filter((c) => c !== id && state.found.get(key(method, c))?.judged);
  const p = [id, ...others].map((c) => state.found.get(key(method, c)).judged?.p_value);
  if (!state.asked.includes(entry.lowest) && entry.lowest !== id) p.push(entry.lowest_p_value);
  return judge(entry, plan, !entry.judged || discoveries(p, plan.discoveries)[0]);
}

/** How to show a verdict. */
const told = (method, verdict) => VERDICTS[verdict === "not-judged" && method.search ? "lost" : verdict];

/** The scale of a method's maps: that of the map of the model's answer, if the answer has evidence. */
function scaleFor(method, entry) {
  const top = ranking(state.photo.logits)[0];
  const sets = !method.search || !["no-evidence", "weak"].includes(verdictOf(method, top));
  return scaleOf(sets ? state.found.get(key(method, top)).map : null, entry.map, method);
}

/** Keys of cards whose details are open, and of those whose weak map is shown: they stay so when the cards are rendered again. */
const unfolded = new Set();
const weakShown = new Set();

/** The card of a method and a class. `render` renders all cards again. */
export function card(method, id, render) {
  const top = ranking(state.photo.logits)[0];
  const name = key(method, id);
  const entry = state.found.get(name);
  const under = element("canvas");
  draw(under, seenPixels(), 448);
  under.setAttribute("aria-hidden", "true");
  const outcome = element("div", { className: "outcome" });
  const body = element("article", { className: "card" }, element("h4", { textContent: method.name }));
  if (entry?.map && state.found.get(key(method, top))?.map) {
    body.append(...shown(method, id, entry, under, outcome, render));
    return body;
  }
  if (entry?.failed) {
    outcome.append(element("p", { className: "failed", textContent: `failed: ${entry.failed}` }));
  } else if (entry?.ended) {
    const again = element("button", { type: "button", textContent: "Compute it after all" });
    again.onclick = () => {
      state.found.delete(name);
      render();
    };
    outcome.append(element("p", { className: "quiet", textContent: "Cancelled." }), again);
  } else {
    const bar = element("progress", { max: 1, value: entry?.progress ?? 0 });
    bar.dataset.key = name;
    bar.setAttribute("aria-label", `${method.name} of ${state.page.labels[id]}`);
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => entry?.stop?.() });
    cancel.setAttribute("aria-label", `Cancel ${method.name} of ${state.page.labels[id]}`);
    outcome.append(bar, cancel);
  }
  body.append(element("div", { className: "stack" }, under), outcome);
  return body;
}

/** The content of a card whose map is available. */
function shown(method, id, entry, under, outcome, render) {
  const name = key(method, id);
  const verdict = verdictOf(method, id);
  const [word, kind, reason] = told(method, verdict);
  // A map of weak evidence is painted only on request, as in Candor's reports.
  const hidden = verdict === "weak" && !method.search.plan.show_weak && !weakShown.has(name);
  const map = hidden ? { ...entry.map, data: new Float32Array(entry.map.data.length) } : entry.map;
  const scale = scaleFor(method, entry);
  const over = element("canvas", { className: "over" });
  draw(over, overlay(seenPixels(), map, scale, state.page.colors, $("strength").value / 100), 448);
  over.setAttribute("aria-hidden", "true");
  over.style.clipPath = `inset(0 ${100 - $("reveal").value}% 0 0)`;
  const words = `${method.name}, ${state.page.labels[id]}: ${word}`;
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

/** How much of the evidence the masks keep. */
function kept(entry) {
  const above = entry.kept.log_odds - entry.null_log_odds;
  if (!(entry.evidence > 0)) return "–";
  return above <= 0 ? "none" : `${odds(above)} (${(100 * above) / entry.evidence > 200 ? "more than 200" : ((100 * above) / entry.evidence).toFixed(0)} %)`;
}

const summary = (entry) => `evidence ${odds(entry.evidence)}, kept ${kept(entry)}`;

/** Numbers and the masks of each level, unfolded on demand. */
function details(method, id, entry) {
  const name = key(method, id);
  const top = state.found.get(key(method, ranking(state.photo.logits)[0]));
  const sets = !["no-evidence", "weak"].includes(verdictOf(method, ranking(state.photo.logits)[0]));
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
    const image = painted(level.mean, scale, state.page.colors);
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

function open(canvas, words) {
  const target = $("large").querySelector("canvas");
  [target.width, target.height] = [canvas.width, canvas.height];
  target.getContext("2d").drawImage(canvas, 0, 0);
  $("large").querySelector("p").textContent = words;
  $("large").showModal();
}

/** The photo's name without its extension. */
export const stem = () => state.photo.name.replace(/\.[^.]*$/, "") || "photo";

/** Folds everything, for a new photo. */
export function fold() {
  unfolded.clear();
  weakShown.clear();
}

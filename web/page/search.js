// The reliable mask, step by step, as Candor learns it: in which window a class is, whether it counts as present, and the masks that keep its
// evidence. The graphs and every number come with the page (`plan`); the steps are those of crates/candor/src/mask (learn.rs, evidence.rs,
// places.rs, keep.rs).

import { Stopped, breathe } from "./graphs.js";
import { cutOut, laidBack, nearest, resized, windowMask } from "./planes.js";
import { allLogOdds, argmax, logOdds, rate } from "./verdict.js";

const float = Math.fround;
const most = (values) => values.reduce((max, v) => Math.max(max, v), -Infinity);

/** A λ that is adapted to what the masks keep, and the sparsest masks that keep enough. */
class Keeping {
  kept = null;
  most = null;

  constructor(plan) {
    this.plan = plan;
    this.lambda = plan.lambda;
  }

  observe(share, size, masks, settled) {
    const { aim, least, gain, exponent } = this.plan;
    if (aim <= 0) return;
    const seen = { share, size, masks, lambda: this.lambda };
    if (settled && share >= least && !(this.kept && size >= this.kept.size)) this.kept = seen;
    if (!this.most || share > this.most.share) this.most = seen;
    if (settled) this.lambda = float(this.lambda * float(Math.exp(Math.min(Math.max(gain * (share - aim), exponent[0]), exponent[1]))));
  }

  get lost() {
    return this.plan.aim > 0 && !this.kept;
  }
}

/** The search of one photo. */
export class Search {
  #ort;
  #graphs;
  #files;
  #plan;
  #image;
  #shape;
  #photo;
  #null;
  #floors;
  #places = null;
  #looks = new Map();
  #queries = new Map();
  #learned = new Map();

  /** `files` is a method's `search` in page.json; `image` the name of the network's input and `shape` its [channels, height, width]. */
  constructor(ort, graphs, files, image, shape) {
    [this.#ort, this.#graphs, this.#files, this.#plan] = [ort, graphs, files, files.plan];
    [this.#image, this.#shape] = [image, shape];
  }

  #tensor(values, dims) {
    return new this.#ort.Tensor("float32", values, dims);
  }

  /** Runs a graph on the values that are its inputs. */
  async #run(file, values, outputs) {
    const session = await this.#graphs.session(file);
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, values.get(name)]));
    return outputs ? session.run(feeds, outputs) : session.run(feeds);
  }

  #masks(value) {
    return this.#plan.levels.map(({ shape }) => new Float32Array(shape[0] * shape[1] * shape[2]).fill(value));
  }

  /** The logits under masks. */
  async #answer(crossing, masks) {
    const values = new Map(crossing);
    masks.forEach((mask, l) => values.set(this.#plan.state[l][0], this.#tensor(mask, [1, ...this.#plan.levels[l].shape])));
    return (await this.#run(this.#files.answer, values))[this.#plan.logits].data;
  }

  async #prepare(input) {
    const crossing = new Map([[this.#image, this.#tensor(input, [1, ...this.#shape])]]);
    if (this.#files.before) {
      for (const [name, value] of Object.entries(await this.#run(this.#files.before, crossing))) crossing.set(name, value);
    }
    return { crossing, reference: await this.#answer(crossing, this.#masks(1)) };
  }

  /** Sets the photo (the network's input values) and returns its logits. */
  async begin(input) {
    const plan = this.#plan;
    this.#photo = { input, ...(await this.#prepare(input)) };
    this.#null = await this.#answer(this.#photo.crossing, this.#masks(0));
    this.#floors = allLogOdds(this.#null, plan.multi_label).map((n) => this.#raised(n));
    if (plan.windows) await this.#askWindows(input);
    return this.#photo.reference;
  }

  /** The photo's logits. */
  get logits() {
    return this.#photo.reference;
  }

  #raised(nullLogOdds) {
    return this.#plan.chance === null ? nullLogOdds : Math.max(nullLogOdds, this.#plan.chance);
  }

  /** Logits of the photo with its coarsest features multiplied by a factor in each window, and zero outside. */
  async #windowed(crossing, windows) {
    const { mask, grid, rows, logits } = this.#plan.windows;
    const all = [];
    for (let from = 0; from < windows.length; from += rows) {
      const part = windows.slice(from, from + rows);
      const masks = new Float32Array(part.length * grid[0] * grid[1]);
      part.forEach(([window, gain], i) => masks.set(windowMask(window, grid, grid, [gain, 0]), i * grid[0] * grid[1]));
      const values = new Map(crossing).set(mask, this.#tensor(masks, [part.length, 1, ...grid]));
      const { data } = (await this.#run(this.#files.tail, values))[logits];
      const classes = data.length / part.length;
      part.forEach((_, i) => all.push(data.slice(i * classes, (i + 1) * classes)));
    }
    return all;
  }

  async #askWindows(input) {
    const { windows, multi_label } = this.#plan;
    const image = new Map([[this.#image, this.#tensor(input, [1, ...this.#shape])]]);
    const crossing = new Map([...image, ...Object.entries(await this.#run(this.#files.features, image))]);
    const logits = await this.#windowed(crossing, windows.all);
    const best = this.#floors.map(() => [-Infinity, 0]);
    logits.forEach((row, at) => {
      allLogOdds(row, multi_label).forEach((odds, c) => {
        if (odds - this.#floors[c] > best[c][0]) best[c] = [odds - this.#floors[c], at];
      });
    });
    const [share, least] = windows.crowd;
    const sorted = best.map(([evidence]) => evidence).sort((a, b) => b - a);
    const crowd = Math.max(sorted[Math.max(Math.floor(sorted.length / share), least) - 1], 0);
    this.#places = { crossing, logits, best, crowd };
  }

  /** The window that shows a class best. */
  async #place(cls, leftOut) {
    const { windows, multi_label } = this.#plan;
    const floor = this.#floors[cls];
    const odds = (logits) => logOdds(logits, cls, leftOut, multi_label);
    if (!this.#places) {
      const strength = odds(this.#photo.reference) - this.#raised(odds(this.#null));
      return { window: null, log_odds: odds(this.#photo.reference), strength, of_photo: strength };
    }
    const { crossing, logits, best, crowd } = this.#places;
    let [evidence, at] = best[cls];
    if (leftOut.length) {
      [evidence, at] = [-Infinity, 0];
      logits.forEach((row, i) => odds(row) - floor >= evidence && ([evidence, at] = [odds(row) - floor, i]));
    }
    const window = windows.all[at][0];
    const [alone] = await this.#windowed(crossing, [[window, 1]]);
    const of_photo = odds(logits.at(-1)) - floor - crowd;
    return { window, log_odds: odds(alone), strength: evidence - crowd, of_photo };
  }

  #judge(place, look, looks) {
    const { false_alarms, parts, evidence } = this.#plan;
    const atPlace = (strength) => Math.min(rate(false_alarms.place, strength) / (looks ? parts[0] : 1), 1);
    const p = atPlace(place.strength);
    const closer = look === null ? 1 : Math.min(rate(false_alarms.look, look) / parts[1], 1);
    if (p > evidence && closer < p) return ["closer-look", closer];
    // Equal sums of logarithms may differ by rounding.
    const whole = atPlace(place.of_photo) <= evidence || place.of_photo + 1e-9 >= place.strength;
    return [whole ? "photo" : "place", p];
  }

  /** A part of the photo, enlarged; computed once for all classes. */
  #looked(part) {
    const key = part.join();
    if (!this.#looks.has(key)) this.#looks.set(key, this.#prepare(cutOut(this.#photo.input, this.#shape, part)));
    return this.#looks.get(key);
  }

  /** Whether a class counts as present, and in which window: before any mask is learned. */
  #query(cls) {
    if (!this.#queries.has(cls)) this.#queries.set(cls, this.#ask(cls));
    return this.#queries.get(cls);
  }

  async #ask(cls) {
    const plan = this.#plan;
    const { reference } = this.#photo;
    const answer = argmax(reference);
    const leftOut = plan.leave_out_top1 && cls !== answer ? [answer] : [];
    const odds = (logits) => logOdds(logits, cls, leftOut, plan.multi_label);
    const floor = this.#raised(odds(this.#null));
    const query = { cls, leftOut, floor, odds, reference, crossing: this.#photo.crossing, place: null, judged: null, part: null };
    if (!plan.places) return query;
    const place = await this.#place(cls, leftOut);
    const looks = plan.look && cls !== answer;
    let [ground, p_value] = this.#judge(place, null, looks);
    query.place = place;
    let window = [0, 0, 1, 1];
    if (place.window) {
      const [top, bottom, left, right] = place.window;
      const [height, width] = plan.windows.grid;
      window = [top / height, left / width, bottom / height, right / width];
      if (looks && p_value > plan.evidence) {
        const edge = (cell, size) => Math.min(Math.max(cell / size, 0), 1);
        const around = (by) => [edge(top - by, height), edge(left - by, width), edge(bottom + by, height), edge(right + by, width)];
        // Masks are learned on the first cut-out; the evidence is the mean over all cut-outs.
        const [part] = plan.margins.map(around);
        const cuts = [];
        for (const margin of plan.margins) cuts.push(await this.#looked(around(margin)));
        const [looked] = cuts;
        const shown = cuts.reduce((sum, cut) => sum + odds(cut.reference) - floor, 0) / cuts.length;
        [ground, p_value] = this.#judge(place, shown, true);
        if (ground === "closer-look") Object.assign(query, looked, { place: null, part });
        if (ground === "closer-look") window = part;
      }
    }
    query.judged = { ground, window, p_value, calibrated: plan.false_alarms.photos > 0 };
    return query;
  }

  /** The p-value of a class, which verdicts of other classes need; null if windows are not evaluated. */
  async pValue(cls) {
    return (await this.#query(cls)).judged?.p_value ?? null;
  }

  /** Takes steps from `masks` and returns the resulting masks. `tick` is called before each step and may throw. */
  async #round(query, masks, steps, first, keeping, share, tick) {
    const plan = this.#plan;
    const values = new Map(query.crossing);
    const classes = query.reference.length;
    const oneHot = new Float32Array(classes);
    oneHot[query.cls] = 1;
    const rivals = new Float32Array(classes);
    for (const cls of [query.cls, ...query.leftOut]) rivals[cls] = -1e9;
    const rows = [oneHot, rivals, Float32Array.from(query.reference), Float32Array.of(query.floor), Float32Array.of(query.target)];
    rows.forEach((row, i) => values.set(plan.queries[i], this.#tensor(row, [1, row.length])));
    plan.state.forEach(([input], i) => {
      const { shape } = plan.levels[i % plan.levels.length];
      const start = i < plan.levels.length ? masks[i] : new Float32Array(shape[0] * shape[1] * shape[2]);
      values.set(input, this.#tensor(start, [1, ...shape]));
    });
    for (let step = 0; step < steps; step++) {
      await tick();
      plan.corrections.forEach((name, i) => values.set(name, this.#tensor(Float32Array.of(plan.corrected[step][i]), [])));
      values.set(plan.lambda_input, this.#tensor(Float32Array.of(keeping.lambda), [1, 1, 1, 1]));
      const after = await this.#run(this.#files.step, values);
      keeping.observe(share(after[plan.logits].data), after[plan.size].data[0], masks, step >= first);
      for (const [input, output] of plan.state) values.set(input, after[output]);
      masks = plan.levels.map((_, l) => after[plan.state[l][1]].data);
    }
    if (plan.aim > 0) {
      const sum = (mask) => mask.reduce((a, b) => a + b, 0);
      const size = plan.levels.reduce((all, { weight }, l) => all + weight * sum(masks[l]), 0);
      keeping.observe(share(await this.#answer(query.crossing, masks)), size, masks, true);
    }
    return masks;
  }

  /** The masks of a class. `tick` is called before each step. */
  async #learn(cls, tick) {
    if (this.#learned.has(cls)) return this.#learned.get(cls);
    const plan = this.#plan;
    const query = await this.#query(cls);
    query.target = Math.max(query.odds(query.reference), query.place?.log_odds ?? -Infinity, query.floor);
    const evidence = query.target - query.floor;
    const learned = { query, evidence, lambda: plan.lambda, masks: this.#masks(0), kept: this.#null };
    if (!(plan.exact && (evidence <= 0 || (query.judged && query.judged.p_value > plan.weak)))) {
      const share = (logits) => (evidence > 0 ? (query.odds(logits) - query.floor) / evidence : 0);
      const keeping = new Keeping(plan);
      const steps = plan.corrected.length;
      let masks = await this.#round(query, this.#start(query), steps, plan.first, keeping, share, tick);
      for (let round = 0; round < plan.rounds && keeping.lost; round++) {
        keeping.lambda = float(keeping.lambda * plan.retry);
        masks = await this.#round(query, keeping.most?.masks ?? masks, Math.max(Math.floor(steps / 2), 1), 0, keeping, share, tick);
      }
      const best = plan.aim > 0 ? (keeping.kept ?? keeping.most) : null;
      Object.assign(learned, best ? { masks: best.masks, lambda: best.lambda } : { masks });
      learned.kept = await this.#answer(query.crossing, learned.masks);
    }
    this.#learned.set(cls, learned);
    return learned;
  }

  /** Initial masks: one everywhere or, if the class has a window, one inside and a tenth outside. */
  #start({ place }) {
    if (!place) return this.#masks(1);
    return this.#plan.levels.map(({ shape: [channels, height, width] }) => {
      const mask = new Float32Array(channels * height * width).fill(1);
      // A mask entry for a whole channel has no position.
      if (!place.window || (height === 1 && width === 1)) return mask;
      const plane = windowMask(place.window, this.#plan.windows.grid, [height, width], this.#plan.start);
      for (let c = 0; c < channels; c++) mask.set(plane, c * plane.length);
      return mask;
    });
  }

  #means({ masks }) {
    return this.#plan.levels.map(({ shape: [channels, height, width] }, l) => {
      const data = new Float32Array(height * width);
      masks[l].forEach((v, i) => (data[i % data.length] += v / channels));
      return { height, width, data };
    });
  }

  /**
   * The map of a class with its numbers, under the names of Candor's results. `watch(done, total)` is called before each step; if it returns
   * true, the search ends with [Stopped].
   */
  async explain(cls, watch = () => false) {
    const plan = this.#plan;
    const answer = argmax(this.#photo.reference);
    const each = plan.corrected.length;
    let [done, total] = [0, each * [...new Set([answer, cls])].filter((c) => !this.#learned.has(c)).length];
    const tick = async () => {
      await breathe();
      // If a mask lost its class, more than one round is taken.
      total = Math.max(total, ++done);
      if (await watch(done - 1, total)) throw new Stopped();
    };
    if (await watch(0, total)) throw new Stopped();
    const top = await this.#learn(answer, tick);
    const learned = await this.#learn(cls, tick);
    const { query } = learned;
    const scales = this.#means(top).map(({ data }) => most(data));
    const [, height, width] = this.#shape;
    const means = this.#means(learned);
    const resize = plan.nearest ? nearest : resized;
    let map = { height, width, data: new Float32Array(height * width) };
    means.forEach((mean, l) => {
      const scale = scales[l] > plan.min_scale ? scales[l] : 1;
      resize(mean, height, width).data.forEach((v, i) => (map.data[i] += v / scale / means.length));
    });
    const back = (found) => (query.part ? laidBack(found, query.part, found.height, found.width) : found);
    map = back(map);
    await watch(total, total);
    return {
      map,
      levels: plan.levels.map(({ name, shape }, l) => ({ value: name, shape, mean: back(means[l]) })),
      log_odds: query.odds(this.#photo.reference),
      null_log_odds: query.floor,
      evidence: learned.evidence,
      judged: query.judged,
      lambda: learned.lambda,
      kept: { score: learned.kept[cls], log_odds: query.odds(learned.kept) },
    };
  }
}

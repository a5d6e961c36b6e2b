// Runs the graphs that Candor exported, stage by stage. ONNX Runtime runs one graph at a time here: the caller must wait for its last call.

/** Thrown if the caller stops a run. */
export class Stopped extends Error {}

/** Lets waiting messages be handled, so that a run can be stopped between two iterations. */
export const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });

export class Graphs {
  #ort;
  #read;
  #options;
  #weights;
  #sessions = new Map();

  /** `read(file)` returns the bytes of a file beside the graphs; `weights` is the file that the graphs share. */
  constructor(ort, read, weights, options = {}) {
    this.#ort = ort;
    this.#read = read;
    this.#weights = weights;
    this.#options = options;
  }

  /** The session of a graph, opened on first use. */
  async session(file) {
    if (!this.#sessions.has(file)) {
      const graph = await this.#read(file);
      const externalData = this.#weights ? [{ path: this.#weights, data: await this.#read(this.#weights) }] : [];
      const session = await this.#ort.InferenceSession.create(graph, { ...this.#options, externalData });
      this.#sessions.set(file, session);
    }
    return this.#sessions.get(file);
  }

  /** Frees the sessions: the runtime's memory never shrinks, but freed memory is reused. */
  async release() {
    for (const session of this.#sessions.values()) await session.release();
    this.#sessions.clear();
  }

  /**
   * Runs the stages of a method (described in page.json) on `inputs`, tensors by name. Returns all values by name. `watch(done, total)`
   * is called before each iteration of a loop; if it returns true, the run ends with [Stopped].
   */
  async run(stages, inputs, watch = () => false) {
    const values = new Map(Object.entries(inputs));
    const total = stages.reduce((sum, stage) => sum + (stage.turns ?? 0), 0);
    let done = 0;
    for (const stage of stages) {
      const session = await this.session(stage.file);
      if (stage.turns === undefined) {
        if (await watch(done, total)) throw new Stopped();
        const feeds = Object.fromEntries(session.inputNames.map((name) => [name, values.get(name)]));
        for (const [name, tensor] of Object.entries(await session.run(feeds))) values.set(name, tensor);
        continue;
      }
      const feeds = {};
      for (const [name, outer] of Object.entries(stage.captured)) feeds[name] = values.get(outer);
      for (const { input, first } of stage.carried) feeds[input] = values.get(first);
      for (let turn = 0; turn < stage.turns; turn++, done++) {
        await breathe();
        if (await watch(done, total)) throw new Stopped();
        if (stage.turn) feeds[stage.turn] = new this.#ort.Tensor("int64", BigInt64Array.of(BigInt(turn)), []);
        const after = await session.run(feeds);
        for (const { input, output } of stage.carried) feeds[input] = after[output];
      }
      for (const { input, last } of stage.carried) if (last) values.set(last, feeds[input]);
    }
    await watch(total, total);
    return values;
  }
}

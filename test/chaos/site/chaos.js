// In the page: works that go on and on, each answer compared with what plain onnxruntime-web gave undisturbed. No error is
// handled but to be told: a page that uses Holdfast has nothing to handle.
import * as holdfast from "/client/holdfast.js";
import { differenceOf, StreamCheck } from "./compare.js";
import { plainIds, plainOutputs, tensorsOf } from "./plain.js";

/** After an error a work opens its session anew, so that one failure does not hide all that would come. */
const AFTER_ERROR_MS = 2_000;

let pool;
let stopping = false;
const works = new Map();
let told = nothingTold();

function nothingTold() {
  return {
    /** `[work, begun, ended]` of each answer, epoch milliseconds. */
    results: [],
    events: [],
    errors: [],
    /** What was wrong, in words. */
    wrongs: [],
    tokens: 0,
    runs: 0,
    missing: 0,
    doubled: 0,
    wrong: 0,
  };
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function tellError(work, error) {
  const typed = error instanceof holdfast.HoldfastError;
  const { code = "", category = "", message = String(error) } = typed ? error : {};
  told.errors.push({ work, at: Date.now(), typed, code, category, message });
}

function tellWrong(work, what) {
  told.wrongs.push({ work, at: Date.now(), what });
}

class Work {
  session = null;
  /** Since when an answer is waited for; null: none is. */
  waitingSince = null;
  ended = Promise.resolve();

  constructor(spec, expected) {
    this.spec = spec;
    this.expected = expected;
  }

  start() {
    this.ended = this.#goOn();
  }

  stages() {
    return this.session?.stages.map(({ hostId, phase, provider }) => ({ hostId, phase, provider })) ?? [];
  }

  async #goOn() {
    for (let course = 0; !stopping; course++) {
      try {
        this.#waits();
        this.session ??= await this.#open();
        const { prompts = [] } = this.spec;
        const prompt = course % 2 === 0 ? prompts[(course / 2) % prompts.length] : undefined;
        await (prompt === undefined ? this.#steps() : this.#stream(prompt));
        if (this.#lacksGpu()) await this.#close();
      } catch (error) {
        tellError(this.spec.name, error);
        await this.#close();
        await sleep(AFTER_ERROR_MS);
      }
      this.waitingSince = null;
    }
    this.#waits();
    await this.#close();
    this.waitingSince = null;
  }

  async #open() {
    const { name, model, options } = this.spec;
    const onEvent = (event) => {
      if (event.type !== "progress" && event.type !== "durable")
        told.events.push({ work: name, at: Date.now(), event });
    };
    return await pool.createSession(model, { ...options, onEvent });
  }

  /** What lost the GPU twice goes on without; a new session takes it up again. */
  #lacksGpu() {
    return this.spec.wantsGpu === true && this.stages().some(({ provider }) => provider !== "webgpu");
  }

  async #close() {
    const { session } = this;
    this.session = null;
    await session?.release().catch((error) => tellError(this.spec.name, error));
  }

  async #steps() {
    const { name, steps, tolerance, pauseMs } = this.spec;
    for (const [index, step] of steps.entries()) {
      if (stopping) return;
      const begun = this.#waits();
      const made = await this.session.run(tensorsOf(step), { reset: index === 0 });
      told.results.push([name, begun, Date.now()]);
      told.runs++;
      const difference = differenceOf(this.expected.outputs[index], made, tolerance);
      if (difference !== null) {
        told.wrong++;
        tellWrong(name, `run ${index}: ${difference}`);
      }
      await sleep(pauseMs);
    }
  }

  async #stream(prompt) {
    const { name, pauseMs } = this.spec;
    const ids = this.expected.ids.get(prompt.join());
    const check = new StreamCheck(ids);
    const tell = (what) => what !== null && tellWrong(name, what);
    try {
      let begun = this.#waits();
      for await (const token of this.session.generate(prompt, { maxNewTokens: ids.length })) {
        told.results.push([name, begun, Date.now()]);
        told.tokens++;
        tell(check.take(token));
        await sleep(pauseMs);
        begun = this.#waits();
      }
      tell(check.end());
    } finally {
      for (const kind of ["missing", "doubled", "wrong"]) told[kind] += check[kind];
    }
  }

  #waits() {
    this.waitingSince = Date.now();
    return this.waitingSince;
  }
}

window.chaos = {
  async connect() {
    pool = await holdfast.connect();
  },

  /** Computes undisturbed what the work must give. */
  async prepare(spec) {
    const expected = { outputs: await plainOutputs(spec), ids: await plainIds(spec) };
    works.set(spec.name, new Work(spec, expected));
  },

  start: (name) => works.get(name).start(),

  stages: (name) => works.get(name)?.stages() ?? [],

  /** A session of its own whose model comes from `url`; all of the work's steps once. Null, or what went wrong. */
  async once(name, url) {
    const { spec, expected } = works.get(name);
    const label = `${name} from ${new URL(url).pathname}`;
    try {
      const session = await pool.createSession(url, spec.options);
      const opened = Date.now();
      for (const [index, step] of spec.steps.entries()) {
        const made = await session.run(tensorsOf(step), { reset: index === 0 });
        told.runs++;
        const difference = differenceOf(expected.outputs[index], made, spec.tolerance);
        if (difference === null) continue;
        told.wrong++;
        tellWrong(label, `run ${index}: ${difference}`);
      }
      await session.release();
      return { opened, code: null, message: null };
    } catch (error) {
      const { code = "untyped", message = String(error) } = error ?? {};
      return { opened: null, code, message };
    }
  },

  /** All that happened since the last call. */
  take() {
    const waiting = [...works.values()].map(({ spec, waitingSince }) => [spec.name, waitingSince]);
    const taken = { ...told, waiting };
    told = nothingTold();
    return taken;
  },

  /** Resolves when each work has come to the end of what it does; then no session is open. */
  async stop() {
    stopping = true;
    await Promise.all([...works.values()].map(({ ended }) => ended));
  },
};

// In the page: the same work through Holdfast and through plain onnxruntime-web, one thread each, wasm.
import * as holdfast from "/client/holdfast.js";
import * as ort from "/ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/ort/";

const LLAMA = "/models/llama-100mb.onnx";
/** Of BENCH_100MB in test/models/generate. */
const [LAYERS, KV_HEADS, HEAD_DIM] = [8, 4, 64];
const MLP = "/models/mlp";
let pool;
const sessions = new Map();

export const bench = {
  async connect() {
    pool = await holdfast.connect();
  },

  async openChain(length, stages, shards) {
    const url = `/models/chain?length=${length}&stages=${stages}`;
    const ours = await pool.createSession(url, { shards, executionProviders: ["wasm"] });
    const plain = await ort.InferenceSession.create(url, { executionProviders: ["wasm"] });
    sessions.set("chain", { ours, plain, length });
  },

  /** Latencies in ms, A B A B …: ours and plain onnxruntime-web. */
  async runChain(rounds) {
    const { ours, plain, length } = sessions.get("chain");
    const x = new ort.Tensor(
      "float32",
      Float32Array.from({ length }, (_, index) => index % 13),
      [1, length],
    );
    const times = { ours: [], plain: [] };
    for (let round = 0; round < rounds; round++) {
      times.ours.push(await timed(() => ours.run({ x })));
      times.plain.push(await timed(() => plain.run({ x })));
    }
    return times;
  },

  /** Opens so many sessions of the chain, one after the other, and leaves each as a page does that is gone. */
  async park(length, count) {
    for (let left = count; left > 0; left--) {
      const session = await pool.createSession(`/models/chain?length=${length}&stages=1`, {
        shards: 1,
        executionProviders: ["wasm"],
      });
      session.peer.emit("leave", { sessionId: session.id });
      const isParked = async () => (await pool.listSessions()).find(({ id }) => id === session.id)?.status === "parked";
      while (!(await isParked())) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  },

  async closeChain() {
    const { ours, plain } = sessions.get("chain");
    await ours.release();
    await plain.release();
  },

  /** Throughput: an MLP whose work shards share, against one plain session. */
  /** Milliseconds until a session of the model is ready. */
  async load(url) {
    const begin = performance.now();
    const session = await pool.createSession(url, { executionProviders: ["wasm"] });
    const ms = performance.now() - begin;
    await session.release();
    return ms;
  },

  /** The chain in one stage on WebGPU; gives the providers of its stages. */
  async openOnGpu() {
    bench.events = [];
    const ours = await pool.createSession("/models/chain?length=1024&stages=1", {
      shards: 1,
      executionProviders: ["webgpu", "wasm"],
      onEvent: (event) => bench.events.push({ ...event, seen: Date.now() }),
    });
    sessions.set("gpu", ours);
    return ours.stages.map(({ provider }) => provider);
  },

  async runOnGpu(runs) {
    const x = new ort.Tensor("float32", new Float32Array(1_024), [1, 1_024]);
    for (let run = 0; run < runs; run++) await sessions.get("gpu").run({ x });
  },

  async closeOnGpu() {
    await sessions.get("gpu").release();
  },

  async openMlp(shards) {
    const ours = await pool.createSession(MLP, { shards, executionProviders: ["wasm"] });
    const plain = await ort.InferenceSession.create(MLP, { executionProviders: ["wasm"] });
    sessions.set("mlp", { ours, plain });
  },

  /** Runs a second with `concurrency` runs under way: of Holdfast's session or of the plain one. */
  async throughput(which, runs, concurrency) {
    return runsPerSecond(sessions.get("mlp")[which], runs, concurrency);
  },

  async closeMlp() {
    const { ours, plain } = sessions.get("mlp");
    await ours.release();
    await plain.release();
  },

  async openLlama(shards, options = {}, name = "llama") {
    const ours = await pool.createSession(LLAMA, {
      shards,
      executionProviders: ["wasm"],
      onEvent: (event) => bench.events.push({ ...event, seen: Date.now() }),
      ...options,
    });
    sessions.set(name, ours);
    return ours.stages.map(({ hostId }) => hostId);
  },

  sessionId(name) {
    return sessions.get(name).id;
  },

  hosts() {
    return sessions.get("llama").stages.map(({ hostId }) => hostId);
  },

  shardBytes() {
    return sessions.get("llama").plan.shards.map(({ weightBytes }) => weightBytes);
  },

  async openPlainLlama() {
    bench.plain = await ort.InferenceSession.create(LLAMA, { executionProviders: ["wasm"] });
  },

  /** Tokens a second of the decode steps (the prompt's run left out). */
  async decodeOurs(promptIds, tokens, name = "llama") {
    let first = 0;
    for await (const { index } of sessions.get(name).generate(promptIds, { maxNewTokens: tokens }))
      if (index === 0) first = performance.now();
    return ((tokens - 1) * 1000) / (performance.now() - first);
  },

  async decodePlain(promptIds, tokens) {
    let first = 0;
    for await (const index of plainTokens(promptIds, tokens)) if (index === 0) first = performance.now();
    return ((tokens - 1) * 1000) / (performance.now() - first);
  },

  /** Milliseconds that the alternative needs to read a prompt. */
  async prefillPlain(promptIds) {
    const begin = performance.now();
    for await (const _ of plainTokens(promptIds, 1)) break;
    return performance.now() - begin;
  },

  async closeLlama(name = "llama") {
    await sessions.get(name).release();
  },

  // A generation that runs on while the launcher kills: the page only notes when tokens came.
  events: [],
  tokens: [],
  start(promptIds, maxNewTokens) {
    bench.events = [];
    bench.tokens = [];
    bench.ended = null;
    const stop = new AbortController();
    bench.stop = () => stop.abort();
    (async () => {
      for await (const { id } of sessions.get("llama").generate(promptIds, { maxNewTokens, signal: stop.signal }))
        bench.tokens.push([Date.now(), id]);
    })().then(
      () => {
        bench.ended = "end";
      },
      (error) => {
        bench.ended = String(error.code);
      },
    );
  },

  /** What a page does without Holdfast after its tab died: load the model (from the HTTP cache) and read the prefix again. */
  async reloadPlain(promptIds) {
    const begin = performance.now();
    const session = await ort.InferenceSession.create(LLAMA, { executionProviders: ["wasm"] });
    bench.plain = session;
    for await (const _ of plainTokens(promptIds, 1)) break;
    return performance.now() - begin;
  },
};

async function* plainTokens(promptIds, tokens) {
  let past = Object.fromEntries(
    Array.from({ length: LAYERS }, (_, layer) =>
      ["key", "value"].map((kind) => [
        `past_key_values.${layer}.${kind}`,
        new ort.Tensor("float32", new Float32Array(0), [1, KV_HEADS, 0, HEAD_DIM]),
      ]),
    ).flat(),
  );
  let input = promptIds;
  let length = 0;
  for (let index = 0; index < tokens; index++) {
    length += input.length;
    const start = length - input.length;
    const row = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const outputs = await bench.plain.run({
      input_ids: row(input),
      attention_mask: row(Array.from({ length }, () => 1)),
      position_ids: row(input.map((_, at) => start + at)),
      ...past,
    });
    const { data, dims } = outputs.logits;
    const last = data.subarray(data.length - dims[2]);
    let best = 0;
    for (let id = 1; id < last.length; id++) if (last[id] > last[best]) best = id;
    past = Object.fromEntries(
      Object.entries(outputs).flatMap(([name, tensor]) =>
        name === "logits" ? [] : [[name.replace("present", "past_key_values"), tensor]],
      ),
    );
    input = [best];
    yield index;
  }
}

async function runsPerSecond(session, runs, concurrency) {
  const x = new ort.Tensor(
    "float32",
    Float32Array.from({ length: 64 * 512 }, (_, index) => (index % 13) / 13),
    [64, 512],
  );
  let left = runs;
  const worker = async () => {
    while (left-- > 0) await session.run({ x });
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: concurrency }, worker));
  return (runs * 1000) / (performance.now() - begin);
}

async function timed(action) {
  const begin = performance.now();
  await action();
  return performance.now() - begin;
}

window.bench = bench;

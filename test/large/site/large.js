// In the page: a session of the large model, one run of it, and what there was to see meanwhile.
import { connect, Tensor } from "/client/holdfast.js";

const ARRAYS = { int64: BigInt64Array, float32: Float32Array };
let pool;
let session;

window.large = {
  async connect() {
    pool = await connect();
  },

  /** Downloads, stores, plans and loads; gives the hosts and the bytes of their shards, and how long it took. */
  async open(url, shards) {
    const begin = performance.now();
    let storedAt = begin;
    const onEvent = (event) => {
      if (event.type === "progress" && event.phase === "download") storedAt = performance.now();
    };
    session = await pool.createSession(url, { shards, executionProviders: ["wasm"], onEvent });
    const hosts = session.stages.map(({ hostId }, stage) => ({
      hostId,
      bytes: session.plan.shards[stage].weightBytes,
    }));
    return { hosts, storeMs: storedAt - begin, loadMs: performance.now() - storedAt };
  },

  /** One run from initial state: the SHA-256 of its logits, as hex. Feeds are `{ name: { type, data, dims } }`, data as text. */
  async run(feeds) {
    const tensors = {};
    for (const [name, { type, data, dims }] of Object.entries(feeds)) {
      const values = type === "int64" ? data.map(BigInt) : data.map(Number);
      tensors[name] = new Tensor(type, ARRAYS[type].from(values), dims);
    }
    const { logits } = await session.run(tensors, { reset: true });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", logits.data));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  },

  release() {
    return session.release();
  },
};

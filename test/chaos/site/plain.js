// Plain onnxruntime-web, wasm, one thread: what every answer is compared with.
import * as ort from "/ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/ort/";

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };

/** Tensors as JSON → tensors. */
export function tensorsOf(feeds) {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { type, dims, base64 }]) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      return [name, new ort.Tensor(type, new ARRAYS[type](bytes.buffer), dims)];
    }),
  );
}

async function open({ model }) {
  return await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

const stateOf = (made, bindings) =>
  Object.fromEntries(Object.entries(bindings).map(([input, output]) => [input, made[output]]));

/** Of each step the outputs that are no state. */
export async function plainOutputs(spec) {
  const { steps, initial, stateBindings } = spec;
  const session = await open(spec);
  const bound = Object.values(stateBindings);
  const all = [];
  let state = tensorsOf(initial);
  for (const step of steps) {
    const made = await session.run({ ...tensorsOf(step), ...state });
    state = stateOf(made, stateBindings);
    all.push(Object.fromEntries(Object.entries(made).filter(([name]) => !bound.includes(name))));
  }
  await session.release();
  return all;
}

/** Greedy continuations of a decoder's prompts, by prompt. */
export async function plainIds(spec) {
  const { prompts = [], newTokens, initial, stateBindings } = spec;
  const all = new Map();
  if (prompts.length === 0) return all;
  const session = await open(spec);
  const long = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  for (const prompt of prompts) {
    const ids = [];
    let state = tensorsOf(initial);
    for (let past = 0, step = prompt; ids.length < newTokens; ) {
      const total = past + step.length;
      const feeds = {
        input_ids: long(step),
        attention_mask: long(Array.from({ length: total }, () => 1)),
        position_ids: long(step.map((_, at) => past + at)),
      };
      const made = await session.run({ ...feeds, ...state });
      state = stateOf(made, stateBindings);
      const row = made.logits.data.subarray(-made.logits.dims.at(-1));
      const id = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
      ids.push(id);
      past = total;
      step = [id];
    }
    all.set(prompt.join(), ids);
  }
  await session.release();
  return all;
}

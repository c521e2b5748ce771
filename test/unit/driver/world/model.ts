import { HoldfastError } from "../../../../src/base/errors.ts";
import type { WireTensor, WireTensors } from "../../../../src/base/tensor.ts";
import type { PlanSummary } from "../../../../src/shard/summary.ts";
import type { ShardSpec, StateBinding, ValueSpec } from "../../../../src/shard/types.ts";

export const VOCABULARY = 16;
/** A run fed with this id fails in the last stage, which is an error of the caller and not of the host. */
export const BAD_ID = 13;

const INPUT: ValueSpec = { name: "input_ids", type: "int64", dims: [1, "n"] };

/**
 * A model in `count` shards whose every output depends on every id since the last reset, in all stages but one: rows that
 * are appended (as a KV cache), a state that is replaced, and an input that passes through all stages. Without state every
 * output depends on the ids of its own run alone.
 */
export function specsOf(count: number, stateful = true): ShardSpec[] {
  return Array.from({ length: count }, (_, index) => {
    const receives = index === 0 ? ["input_ids"] : [`h${index}`, "input_ids"];
    const emits = index === count - 1 ? ["logits"] : [`h${index + 1}`, "input_ids"];
    const made = index === count - 1 ? "logits" : `h${index + 1}`;
    // As in real plans of many shards: one between others has none of the state.
    const holds = stateful && !(count > 2 && index === 1);
    return {
      index,
      receives,
      emits,
      inputs: receives,
      outputs: holds ? [made, `present${index}`, `accN${index}`] : [made],
      state: holds ? stateOf(index) : [],
      weights: [],
      weightBytes: 0,
      nodes: 1,
    };
  });
}

function stateOf(index: number): StateBinding[] {
  return [
    {
      input: { name: `past${index}`, type: "int32", dims: [1, "rows", 2] },
      output: `present${index}`,
      appendAxis: 1,
    },
    { input: { name: `acc${index}`, type: "int32", dims: [1] }, output: `accN${index}`, appendAxis: null },
  ];
}

export function planOf(specs: readonly ShardSpec[]): PlanSummary {
  return {
    strategy: "layer_based",
    reason: "test",
    shardsMax: specs.length,
    feeds: [INPUT],
    results: [{ name: "logits", type: "float32", dims: [1, 1, VOCABULARY] }],
    stateInputs: specs.flatMap((spec) => spec.state.map(({ input }) => input.name)),
    shards: specs.map(({ index }) => ({ index, weightBytes: 0, nodes: 1, cutTensors: [] })),
  };
}

export function idsTensor(ids: readonly number[]): WireTensor & { readonly data: BigInt64Array } {
  return { type: "int64", dims: [1, ids.length], data: BigInt64Array.from(ids, BigInt) };
}

/** Runs shard `index`. @throws HoldfastError RUN_FAILED for BAD_ID in the last stage. */
export function execute(spec: ShardSpec, last: boolean, inputs: WireTensors): WireTensors {
  const { index } = spec;
  const ids = Array.from(dataOf(inputs, "input_ids") as BigInt64Array, Number);
  if (last && ids.includes(BAD_ID)) throw new HoldfastError("RUN_FAILED", "the run was fed a bad id");
  const stateful = spec.state.length > 0;
  const past = stateful ? (dataOf(inputs, `past${index}`) as Int32Array) : new Int32Array(0);
  const acc = stateful ? ((dataOf(inputs, `acc${index}`) as Int32Array)[0] as number) : 0;
  const x = index === 0 ? fold(0, ids) : ((dataOf(inputs, `h${index}`) as Int32Array)[0] as number);
  const hash = fold(fold(x ^ index, [acc, ...ids]), past);
  const rows = Int32Array.from([...past, ...ids.flatMap((id) => [hash ^ id, x])]);
  const made: WireTensor = last
    ? { type: "float32", dims: [1, 1, VOCABULARY], data: logitsOf(hash) }
    : { type: "int32", dims: [1], data: Int32Array.of(hash) };
  return {
    [last ? "logits" : `h${index + 1}`]: made,
    [`present${index}`]: { type: "int32", dims: [1, rows.length / 2, 2], data: rows },
    [`accN${index}`]: { type: "int32", dims: [1], data: Int32Array.of(fold(acc, [x])) },
  };
}

/** The same model, run undisturbed in one place. A run that fails is as if it had never been. */
export class Reference {
  private readonly specs: readonly ShardSpec[];
  private state: Record<string, WireTensor> = {};

  constructor(count: number, stateful = true) {
    this.specs = specsOf(count, stateful);
    this.reset();
  }

  run(ids: readonly number[], reset: boolean): number[] | null {
    if (reset) this.reset();
    if (ids.includes(BAD_ID)) return null;
    let tensors: WireTensors = { input_ids: idsTensor(ids) };
    for (const spec of this.specs) {
      const outputs = execute(spec, spec.index === this.specs.length - 1, { ...this.state, ...tensors });
      for (const { input, output } of spec.state) this.state[input.name] = outputs[output] as WireTensor;
      tensors = { ...tensors, ...outputs };
    }
    return Array.from(dataOf(tensors, "logits") as Float32Array);
  }

  generate(prompt: readonly number[], count: number): number[] {
    const ids: number[] = [];
    while (ids.length < count) {
      const logits = this.run(ids.length === 0 ? prompt : [ids.at(-1) as number], ids.length === 0) ?? [];
      ids.push(logits.indexOf(Math.max(...logits)));
    }
    return ids;
  }

  private reset(): void {
    for (const { input } of this.specs.flatMap((spec) => spec.state)) {
      const rows = input.name.startsWith("past");
      this.state[input.name] = { type: "int32", dims: rows ? [1, 0, 2] : [1], data: new Int32Array(rows ? 0 : 1) };
    }
  }
}

function dataOf(tensors: WireTensors, name: string): WireTensor["data"] {
  const tensor = tensors[name];
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor.data;
}

function fold(start: number, values: Iterable<number>): number {
  let hash = start | 0;
  for (const value of values) hash = Math.imul(hash ^ (value + 0x9e3779b9), 0x21f0aaad) ^ (hash >>> 15);
  return hash;
}

/** Never the largest at BAD_ID, so that no generation comes to feed it. */
function logitsOf(hash: number): Float32Array {
  return Float32Array.from({ length: VOCABULARY }, (_, id) =>
    id === BAD_ID ? -1 : (fold(hash, [id]) >>> 8) / 2 ** 24,
  );
}

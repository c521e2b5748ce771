import * as ort from "onnxruntime-web/wasm";
import { expect } from "vitest";
import { ShardWeights } from "../../../src/host/shard-weights.ts";
import { bodiesOf } from "../../../src/shard/captures.ts";
import { extractShard } from "../../../src/shard/extract.ts";
import { externalRange, type GraphProto, parseModel, type TensorProto } from "../../../src/shard/model.ts";
import type { Skeleton } from "../../../src/shard/skeleton.ts";
import { ROWS_WRITTEN, type ShardPlan, type ShardSpec } from "../../../src/shard/types.ts";
import { fileOf, type ModelFiles } from "./models.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
/** Errors only: tests cut graphs in ways that onnxruntime likes to remark upon. */
const QUIET = { logSeverityLevel: 3 } as const;

export type Tensors = Readonly<Record<string, ort.Tensor>>;

/** Runs a whole model file as onnxruntime does without Holdfast. */
export async function wholeSession(files: ModelFiles): Promise<ort.InferenceSession> {
  const externalData = [...files].filter(([path]) => path !== "").map(([path, data]) => ({ path, data }));
  return ort.InferenceSession.create(fileOf(files, ""), { externalData, ...QUIET });
}

/** A shard's session made as a host makes it: weights are freed as onnxruntime takes them, and kept if it asks again. */
export async function hostSession(
  graph: Uint8Array,
  { weights: ranges }: Pick<ShardSpec, "weights">,
  files: ModelFiles,
  keepsAll = false,
): Promise<ort.InferenceSession> {
  const weights = new ShardWeights();
  for (const { path, file, offset, length, isShared = false } of ranges) {
    const bytes = new Uint8Array(fileOf(files, file).slice(offset, offset + length));
    weights.put({ path, length, offset: 0, bytes, isKept: keepsAll || isShared });
  }
  try {
    return await ort.InferenceSession.create(graph, { externalData: weights.files(), ...QUIET });
  } catch (error) {
    if (!weights.askedAgain) throw error;
  } finally {
    weights.free();
  }
  return hostSession(graph, { weights: ranges }, files, true);
}

/** The shards of a plan in one process: tensors go down the line, state stays with its shard. */
export class Pipeline {
  readonly #stages: { readonly shard: ShardSpec; readonly session: ort.InferenceSession; state: Tensors }[] = [];

  /** With `sessions`, equal shards share a session, and the caller releases it. */
  static async open(
    skeleton: Skeleton,
    plan: ShardPlan,
    files: ModelFiles,
    sessions?: Map<string, ort.InferenceSession>,
  ): Promise<Pipeline> {
    const pipeline = new Pipeline();
    for (const shard of plan.shards) {
      const bytes = extractShard(skeleton, plan, shard.index);
      checkReferences(bytes, shard);
      // A shard's graph follows from what it is given and what it makes; only its name has its number.
      const key = JSON.stringify([shard.inputs, shard.state, shard.outputs]);
      const session = sessions?.get(key) ?? (await hostSession(bytes, shard, files));
      sessions?.set(key, session);
      expect([...session.inputNames].sort()).toEqual([...shard.inputs, ...shard.state.map((s) => s.input.name)].sort());
      const told = shard.shapes === undefined ? [] : [ROWS_WRITTEN];
      expect([...session.outputNames].sort()).toEqual([...shard.outputs, ...told].sort());
      pipeline.#stages.push({ shard, session, state: {} });
    }
    return pipeline;
  }

  setState(initial: Tensors): void {
    for (const stage of this.#stages)
      stage.state = pick(
        initial,
        stage.shard.state.map((binding) => binding.input.name),
      );
  }

  async run(feeds: Tensors): Promise<Tensors> {
    let line = feeds;
    for (const stage of this.#stages) {
      const { shard, session } = stage;
      expect(Object.keys(line).sort()).toEqual(shard.receives);
      const made = await session.run({ ...pick(line, shard.inputs), ...stage.state });
      stage.state = Object.fromEntries(shard.state.map(({ input, output }) => [input.name, at(made, output)]));
      line = pick({ ...line, ...made }, shard.emits);
    }
    return line;
  }

  stateOf(output: string): ort.Tensor {
    const stage = this.#stages.find(({ shard }) => shard.state.some((binding) => binding.output === output));
    const binding = stage?.shard.state.find((candidate) => candidate.output === output);
    return at(stage?.state ?? {}, binding?.input.name ?? output);
  }

  async close(): Promise<void> {
    for (const { session } of this.#stages) await session.release();
  }
}

/** A shard's graph names exactly the external data that its spec lists. */
function checkReferences(bytes: Uint8Array, shard: ShardSpec): void {
  const tensorsOf = (graph: GraphProto): TensorProto[] => [
    ...graph.initializer,
    ...graph.node.flatMap((node) => bodiesOf(node).flatMap(tensorsOf)),
  ];
  const named = tensorsOf(parseModel(bytes).graph).flatMap((tensor) => externalRange(tensor) ?? []);
  const listed = shard.weights.map(({ path, length }) => ({ location: path, offset: 0, length }));
  const order = (a: { location: string }, b: { location: string }): number => (a.location < b.location ? -1 : 1);
  expect(named.sort(order)).toEqual(listed.sort(order));
}

export function at(tensors: Tensors, name: string): ort.Tensor {
  const tensor = tensors[name];
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor;
}

export function pick(tensors: Tensors, names: readonly string[]): Tensors {
  return Object.fromEntries(names.map((name) => [name, at(tensors, name)]));
}

/** Same names, types, dims and bytes. */
export function expectSame(actual: Tensors, expected: Tensors): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, tensor] of Object.entries(expected)) {
    const other = at(actual, name);
    expect([other.type, ...other.dims]).toEqual([tensor.type, ...tensor.dims]);
    expect(Buffer.compare(bytesOf(other), bytesOf(tensor)), `${name} is not bit-equal`).toBe(0);
  }
}

function bytesOf(tensor: ort.Tensor): Uint8Array {
  const data = tensor.data as Float32Array;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function noise(dims: readonly number[], seed: number): ort.Tensor {
  let state = seed >>> 0;
  const size = dims.reduce((product, dim) => product * dim, 1);
  const data = Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return new ort.Tensor("float32", data, dims);
}

export function ints(values: readonly number[], dims: readonly number[]): ort.Tensor {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

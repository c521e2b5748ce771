import * as ort from "onnxruntime-web/wasm";
import { describe, expect, it } from "vitest";
import { byteLengthOf } from "../../../src/base/bytes.ts";
import type { ElementType, TensorData, WireTensors } from "../../../src/base/tensor.ts";
import { Residents } from "../../../src/host/residents.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import { extractShard } from "../../../src/shard/extract.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import type { ShardSpec } from "../../../src/shard/types.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../../src/state/checkpoint-codec.ts";
import { generate, inMemory } from "../../models/generate/index.ts";
import { tensorsOf } from "../models/run.ts";
import { model, type Node, node } from "../shard/build.ts";
import { readerOf } from "../shard/models.ts";
import { expectSame, hostSession, noise, pick, type Tensors } from "../shard/pipeline.ts";

const KEY = { sessionId: "s", stage: 0, planId: "p", weights: "w" };

/** A shard as a host runs it, and the records that it has stored. */
class Host {
  readonly records: CheckpointRecord[] = [];
  /** Bytes of each record's payload. */
  readonly sizes: number[] = [];
  state: Residents;
  constructor(
    private readonly session: ort.InferenceSession,
    readonly spec: ShardSpec,
  ) {
    this.state = new Residents(spec.state, spec.shapes);
  }

  async run(feeds: Tensors): Promise<Tensors> {
    const inputs = { ...toWire(pick(feeds, this.spec.inputs)), ...this.state.inputs() };
    const made = await this.session.run(toOrt(inputs));
    this.state.take(toWire(made), this.records.length, inputs);
    return made;
  }

  /** Stores what is new, then holds what comes back from storage against what the host has. */
  async store(): Promise<void> {
    const stored = await encodeCheckpoint(KEY, this.state.checkpoint(this.records.length));
    this.sizes.push(stored.payload.byteLength);
    this.records.push((await decodeCheckpoint(KEY, stored)) as CheckpointRecord);
    const restored = this.restored();
    expectSame(toOrt(restored.inputs()), toOrt(this.state.inputs()));
  }

  restored(): Residents {
    const restored = new Residents(this.spec.state, this.spec.shapes);
    restored.restore(this.records);
    return restored;
  }
}

const toWire = (tensors: Tensors): WireTensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [
      name,
      { type: type as ElementType, dims, data: data as TensorData },
    ]),
  );
const toOrt = (tensors: WireTensors): Tensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => [name, new ort.Tensor(type, data as never, dims)]),
  );

async function hostsOf(files: ReadonlyMap<string, Uint8Array>, shards: number): Promise<Host[]> {
  const skeleton = readSkeleton(readerOf(files.get("") as Uint8Array));
  const plan = planShards(skeleton, { shards });
  const hosts: Host[] = [];
  for (const spec of plan.shards)
    hosts.push(new Host(await hostSession(extractShard(skeleton, plan, spec.index), spec, files), spec));
  return hosts;
}

describe.each(["fp32", "fp16", "int4"] as const)("a Llama with GroupQueryAttention, %s, in two shards", (dtype) => {
  const [layers, kvHeads, headDim] = [4, 2, 16];
  const { parts } = generate({ family: "llama", variant: "fused", dtype, layers, kvHeads, headDim });
  const part = parts[0] as (typeof parts)[number];
  const rowBytes = layers * 2 * kvHeads * headDim * (dtype === "fp16" ? 2 : 4);

  it("stores the new rows of each token only, and what comes back is the state, bit for bit", async () => {
    const hosts = await hostsOf(inMemory(part), 2);
    const wrote: number[] = [];
    for (let past = 0; past < 12; past = past === 0 ? 5 : past + 1) {
      const all = tensorsOf(part.feeds(past === 0 ? "first" : "next", { length: 5, past }));
      let line: Tensors = all;
      for (const host of hosts) line = { ...line, ...(await host.run(line)) };
      // Some are stored one by one, some together.
      if (past === 8) continue;
      for (const host of hosts) await host.store();
      wrote.push(hosts.reduce((sum, host) => sum + (host.sizes.at(-1) ?? 0), 0));
    }
    expect(wrote).toEqual([5, 1, 1, 1, 2, 1, 1].map((rows) => rows * rowBytes));
  });

  it("goes on from there as the undisturbed one does", async () => {
    const [host] = (await hostsOf(inMemory(part), 1)) as [Host];
    await host.run(tensorsOf(part.feeds("first", { length: 5 })));
    await host.store();
    const next = tensorsOf(part.feeds("next", { length: 5, past: 5 }));
    const undisturbed = await host.run(next);
    host.state = host.restored();
    expectSame(await host.run(next), undisturbed);
    await host.store();
    expect(host.sizes).toEqual([5 * rowBytes, rowBytes]);
  });
});

const [HEADS, WIDTH] = [2, 8];
const ROW = HEADS * WIDTH * 4 * 2;
const LENGTHS = ["lengths:int32:batch", "total:int32"];

/** GroupQueryAttention over a cache, its lengths given as feeds; `rows`: of the cache. */
function grouped(
  rows: string,
  attention: Node = node("com.microsoft:GroupQueryAttention", GQA, "y pk pv", ATTRIBUTES),
) {
  const cache = (name: string): string => `${name}:float:batch,${HEADS},${rows},${WIDTH}`;
  return model({
    inputs: ["x:float:batch,new,16", cache("past_key_values.0.key"), cache("past_key_values.0.value"), ...LENGTHS],
    outputs: [
      "y:float:batch,new,16",
      `present.0.key:float:batch,${HEADS},all,${WIDTH}`,
      "present.0.value:float:batch,2,all,8",
    ],
    nodes: [
      node("Mul", "x x", "k"),
      node("Neg", "x", "v"),
      attention,
      node("Identity", "pk", "present.0.key"),
      node("Identity", "pv", "present.0.value"),
    ],
  });
}
const PAST = "past_key_values.0.key past_key_values.0.value";
const GQA = `x k v ${PAST} lengths total`;
const ATTRIBUTES = { num_heads: HEADS, kv_num_heads: HEADS };

/** A run of as many new tokens for each sequence, after which they have `lengths` rows. */
function runOf(count: number, lengths: readonly number[], seed: number): Tensors {
  return {
    x: noise([lengths.length, count, 16], seed),
    lengths: new ort.Tensor(
      "int32",
      Int32Array.from(lengths, (length) => length - 1),
      [lengths.length],
    ),
    total: new ort.Tensor("int32", Int32Array.of(Math.max(...lengths)), []),
  };
}

async function hostOf(bytes: Uint8Array): Promise<Host> {
  return (await hostsOf(new Map([["", bytes]]), 1))[0] as Host;
}

describe("GroupQueryAttention", () => {
  it("in a buffer of fixed length: the rows that were written, at their place", async () => {
    const host = await hostOf(grouped("12"));
    for (const [count, length] of [
      [3, 3],
      [1, 4],
      [1, 5],
      [4, 9],
    ] as const) {
      await host.run(runOf(count, [length], length));
      await host.store();
    }
    expect(host.sizes).toEqual([3, 1, 1, 4].map((rows) => rows * ROW));
    expect(host.state.inputs()["past_key_values.0.key"]?.dims).toEqual([1, HEADS, 12, WIDTH]);
  });

  it("that goes back and writes rows anew stores them anew, from the first that was written since", async () => {
    const host = await hostOf(grouped("12"));
    for (const [index, [count, length, isStored]] of (
      [
        [6, 6, true],
        [1, 7, false],
        [2, 6, false],
        [1, 7, true],
        [1, 7, true],
        [5, 5, true],
        [1, 6, true],
      ] as const
    ).entries()) {
      await host.run(runOf(count, [length], index));
      if (isStored) await host.store();
    }
    // Rows 4 to 6; row 6 again; a sequence begun anew; its next row.
    expect(host.sizes).toEqual([6, 3, 1, 5, 1].map((rows) => rows * ROW));
  });

  it("with sequences of unequal length stores from the first row that any of them wrote", async () => {
    const host = await hostOf(grouped("past"));
    host.state.take(
      toWire({
        "present.0.key": noise([2, HEADS, 0, WIDTH], 1),
        "present.0.value": noise([2, HEADS, 0, WIDTH], 1),
      }),
      -1,
    );
    await host.run(runOf(4, [4, 2], 1));
    await host.store();
    await host.run(runOf(1, [5, 3], 2));
    await host.store();
    // The shorter one wrote row 2, the longer one row 4.
    expect(host.sizes).toEqual([4 * 2 * ROW, 3 * 2 * ROW]);
  });

  it("whose run does not tell is stored whole", () => {
    const state = [
      { input: { name: "k", type: "float32", dims: null }, output: "p", appendAxis: 1, written: TOLD },
    ] as const;
    const residents = new Residents(state, ["a"]);
    const present = { type: "float32", dims: [1, 3], data: Float32Array.of(1, 2, 3) } as const;
    const bytes = [0, 1].map((run) => {
      residents.take({ p: present }, run, {});
      return byteLengthOf({ p: residents.checkpoint(run).versions[0]?.tensors[0]?.tensor as typeof present });
    });
    expect(bytes).toEqual([12, 12]);
  });
});
const TOLD = { lengths: "l", attended: "a" };

describe("an attention's cache is proved appended", () => {
  const axisOf = (bytes: Uint8Array): unknown =>
    planShards(readSkeleton(readerOf(bytes))).shards[0]?.state.map(({ appendAxis }) => appendAxis);
  const mha = (past: string): Node =>
    node("com.microsoft:MultiHeadAttention", `x k v - - - ${past}`, "y pk pv", { num_heads: HEADS });

  it.each([
    ["GroupQueryAttention", node("com.microsoft:GroupQueryAttention", GQA, "y pk pv", ATTRIBUTES), 2],
    [
      "GroupQueryAttention of packed input",
      node("com.microsoft:GroupQueryAttention", `x - - ${PAST} lengths total`, "y pk pv", ATTRIBUTES),
      2,
    ],
    ["MultiHeadAttention", mha(PAST), 2],
    [
      "DecoderMaskedMultiHeadAttention",
      node("com.microsoft:DecoderMaskedMultiHeadAttention", `x k v - - ${PAST}`, "y pk pv"),
      2,
    ],
    ["onnx Attention", node("Attention", `x k v - ${PAST}`, "y pk pv"), 2],
  ])("%s", (_, attention, axis) => {
    expect(axisOf(grouped("past", attention))).toEqual([axis, axis]);
  });

  it.each([
    ["MultiHeadAttention over a buffer that it shares", mha(`${PAST} total`)],
    ["keys and values that change places", mha("past_key_values.0.value past_key_values.0.key")],
    [
      "a cache that it does not add to",
      node("com.microsoft:GroupQueryAttention", `x - v ${PAST} lengths total`, "y pk pv", ATTRIBUTES),
    ],
    ["an operator of another domain", node("mine:GroupQueryAttention", GQA, "y pk pv")],
    ["onnx Attention that is told which keys count", node("Attention", `x k v - ${PAST} lengths`, "y pk pv")],
  ])("not: %s", (_, attention) => {
    expect(axisOf(grouped("past", attention))).toEqual([null, null]);
  });

  it("MultiHeadAttention: one row a token, bit for bit", async () => {
    const host = await hostOf(grouped("past", mha(PAST)));
    for (const count of [3, 1, 2]) {
      await host.run({ ...runOf(count, [count], count) });
      await host.store();
    }
    expect(host.sizes).toEqual([3 * ROW, ROW, 2 * ROW]);
  });
});

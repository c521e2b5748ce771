import { describe, expect, it } from "vitest";
import type { AssumedSizes } from "../../../src/shard/assumed-sizes.ts";
import { findBindings } from "../../../src/shard/bindings.ts";
import { calibrate } from "../../../src/shard/calibrate.ts";
import { type CostModel, costModel } from "../../../src/shard/cost-model.ts";
import { cutSpace } from "../../../src/shard/cuts.ts";
import { graphOf } from "../../../src/shard/graph.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { DEFAULT_HOST, stageMs } from "../../../src/shard/stage-time.ts";
import { floats, longs, model, type Node, node, type Tensor } from "./build.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";

function costsOf(bytes: Uint8Array, assumed: AssumedSizes = {}): CostModel {
  const graph = graphOf(readSkeleton(readerOf(bytes)));
  const bindings = findBindings(graph);
  return costModel(graph, cutSpace(graph, bindings), bindings, assumed);
}

/** One node alone: its operations, by hand beside it. */
const CASES: readonly [string, Node, readonly string[], readonly Tensor[], number][] = [
  ["MatMul", node("MatMul", "x w", "y"), ["x:float:2,3,8"], [floats("w", [8, 50])], 2 * 2 * 3 * 8 * 50],
  ["Gemm", node("Gemm", "x w", "y", { transB: 1 }), ["x:float:5,8"], [floats("w", [50, 8])], 2 * 5 * 8 * 50],
  [
    "Conv",
    node("Conv", "x w", "y", { strides: [2, 2], pads: [1, 1, 1, 1] }),
    ["x:float:1,4,8,8"],
    [floats("w", [6, 4, 3, 3])],
    2 * (1 * 6 * 4 * 4) * (4 * 3 * 3),
  ],
  [
    "a depthwise Conv",
    node("Conv", "x w", "y", { group: 4, pads: [1, 1, 1, 1] }),
    ["x:float:1,4,8,8"],
    [floats("w", [4, 1, 3, 3])],
    2 * (4 * 8 * 8) * 9,
  ],
  [
    "MatMulNBits",
    node("com.microsoft:MatMulNBits", "x b s", "y", { K: 64, N: 10, bits: 4, block_size: 32 }),
    ["x:float:3,64"],
    [{ name: "b", dims: [10n, 2n, 16n], dataType: 2, rawData: new Uint8Array(320) }, floats("s", [20])],
    2 * 3 * 64 * 10,
  ],
  [
    "GroupQueryAttention",
    node("com.microsoft:GroupQueryAttention", "x k v pk pv len total", "y nk nv", { num_heads: 4, kv_num_heads: 2 }),
    ["x:float:1,2,64", "k:float:1,2,32", "v:float:1,2,32", "pk:float:1,2,6,16", "pv:float:1,2,6,16", "len:int64:1"],
    [longs("total", [8])],
    4 * (1 * 2 * 64) * (6 + 2),
  ],
  [
    "LSTM",
    node("LSTM", "x w r", "y", { hidden_size: 4 }),
    ["x:float:7,1,3"],
    [floats("w", [1, 16, 3]), floats("r", [1, 16, 4])],
    2 * 7 * (48 + 64),
  ],
  ["Softmax", node("Softmax", "x", "y", { axis: -1 }), ["x:float:4,10"], [], 8 * 40],
  ["Reshape", node("Reshape", "x s", "y"), ["x:float:4,10"], [longs("s", [-1])], 0],
];

describe("operations of a node", () => {
  it.each(CASES)("%s", (_, item, inputs, weights, flops) => {
    const outputs = (item.output ?? []).filter(Boolean).map((name) => `${name}:float`);
    const costs = costsOf(model({ inputs, outputs, nodes: [item], weights }));
    expect(costs.work(0, costs.count).flops).toBe(flops);
  });

  it("sizes of convolutions, pools, resizes and reshapes follow the run that is assumed", () => {
    const nodes = [
      node("Conv", "x w", "a", { strides: [2, 2], pads: [1, 1, 1, 1] }),
      node("MaxPool", "a", "b", { kernel_shape: [2, 2], strides: [2, 2] }),
      node("Shape", "b", "s"),
      node("Gather", "s zero", "batch"),
      node("Concat", "batch rest", "to", { axis: 0 }),
      node("Reshape", "b to", "y"),
    ];
    const weights = [floats("w", [8, 3, 3, 3]), longs("zero", [0]), longs("rest", [-1])];
    const bytes = model({ inputs: ["x:float:b,3,height,width"], outputs: ["y:float"], nodes, weights });
    const { sizes } = costsOf(bytes, { height: 64, width: 32, "x:0": 2 });
    expect(["a", "b", "y"].map((name) => sizes.dims(name))).toEqual([
      [2, 8, 32, 16],
      [2, 8, 16, 8],
      [2, 1024],
    ]);
    expect(sizes.bytes("y")).toEqual({ bytes: 2 * 1024 * 4, known: false });
    expect(costsOf(bytes).sizes.dims("a")).toEqual([1, 8, 112, 112]);
  });
});

describe("moby-llama", () => {
  const skeleton = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));
  const costs = costsOf(fileOf(modelFiles("moby"), ""));

  it("takes two operations a parameter and token, and grows by its keys and values", () => {
    const parameters = 2_753_664;
    const { flops } = costs.work(0, costs.count);
    expect(flops / (2 * parameters)).toBeGreaterThan(1);
    expect(flops / (2 * parameters)).toBeLessThan(1.15);
    // Six layers, keys and values, two heads of 32 floats.
    expect(costs.stateBytesPerToken(0, costs.count)).toBe(6 * 2 * 2 * 32 * 4);
  });

  it("holds its tied embedding once, but once in each shard that needs it", () => {
    const embedding = 2048 * 192 * 4;
    const whole = costs.weightBytes(0, costs.count);
    expect(Math.abs(whole - (planShards(skeleton).shards[0]?.weightBytes ?? 0))).toBeLessThan(20_000);
    const middle = planShards(skeleton, { shards: 2 }).cuts[0]?.place ?? 0;
    const halves = costs.weightBytes(0, middle) + costs.weightBytes(middle, costs.count);
    expect(Math.abs(halves - whole - embedding)).toBeLessThan(20_000);
  });

  it("is predicted as it was measured, once it was", () => {
    const before = planShards(skeleton, { shards: 3, shardingStrategy: "balanced" });
    const places = before.cuts.map((cut) => cut.place);
    const measured = [9, 2, 2];
    const hosts = [DEFAULT_HOST, DEFAULT_HOST, DEFAULT_HOST];
    const known = calibrate(costs, { places, stageMs: measured, hosts });
    const ends = [0, ...places, costs.count];
    for (const [i, ms] of measured.entries())
      expect(stageMs(known, ends[i] ?? 0, ends[i + 1] ?? 0, DEFAULT_HOST)).toBeCloseTo(ms, 6);
    const after = planShards(skeleton, {
      shards: 3,
      shardingStrategy: "balanced",
      measured: { places, stageMs: measured, hosts },
    });
    // The first stage was slow, so it gets less now.
    expect(after.cuts[0]?.place).toBeLessThan(places[0] ?? 0);
    expect(Math.max(...after.stages.map((stage) => stage.estimatedMs))).toBeLessThan(6);
  });

  it("is left as it is by measurements that do not fit it", () => {
    const hosts = [DEFAULT_HOST, DEFAULT_HOST];
    expect(calibrate(costs, { places: [], stageMs: [3, 4], hosts })).toBe(costs);
    expect(calibrate(costs, { places: [costs.count], stageMs: [3, 4], hosts })).toBe(costs);
    const unknown = calibrate(costs, { places: [50], stageMs: [null, 0], hosts });
    expect(unknown.work(0, costs.count).flops).toBeCloseTo(costs.work(0, costs.count).flops, 3);
  });
});

it.each(["constructor", "toString", "__proto__"])("an operator named %s costs what an unknown one does", (operator) => {
  const cost = (name: string) =>
    costsOf(model({ inputs: ["x:float:2,3"], outputs: ["y:float:2,3"], nodes: [node(name, "x", "y")] })).work(0, 1);
  expect(cost(operator)).toEqual(cost("Unheard"));
});

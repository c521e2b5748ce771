import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { extractShard } from "../../../src/shard/extract.ts";
import { parseModel, serialiseModel } from "../../../src/shard/model.ts";
import { type PlanOptions, planShards } from "../../../src/shard/plan.ts";
import { readSkeleton, type Skeleton } from "../../../src/shard/skeleton.ts";
import type { ShardPlan } from "../../../src/shard/types.ts";
import { body, constant, encoder, floats, longs, model, type Node, node, type Tensor } from "./build.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";
import { expectSame, ints, noise, Pipeline, type Tensors, wholeSession } from "./pipeline.ts";

const skeletonOf = (bytes: Uint8Array): Skeleton => readSkeleton(readerOf(bytes));

/** Runs a model whole and in shards; both have to give the same bits. */
async function expectSameInShards(bytes: Uint8Array, feeds: Tensors, options: PlanOptions = {}): Promise<ShardPlan> {
  const files = new Map([["", bytes]]);
  const skeleton = skeletonOf(bytes);
  const plan = planShards(skeleton, options);
  const session = await wholeSession(files);
  const expected = await session.run(feeds);
  await session.release();
  const pipeline = await Pipeline.open(skeleton, plan, files);
  expectSame(await pipeline.run(feeds), expected);
  await pipeline.close();
  return plan;
}

const W = 32;
/** x → MatMul → Relu → … → y, `count` times, each with a weight of 4 KB. */
function chain(count: number, from = "x", to = "y", prefix = "c"): { nodes: Node[]; weights: Tensor[] } {
  const nodes: Node[] = [];
  const weights: Tensor[] = [];
  for (let i = 0; i < count; i++) {
    const input = i === 0 ? from : `${prefix}${i}`;
    weights.push(floats(`${prefix}.w${i}`, [W, W]));
    nodes.push(node("MatMul", `${input} ${prefix}.w${i}`, `${prefix}.m${i}`));
    nodes.push(node("Relu", `${prefix}.m${i}`, i === count - 1 ? to : `${prefix}${i + 1}`));
  }
  return { nodes, weights };
}
const IO = { inputs: [`x:float:b,${W}`], outputs: ["y:float"] } as const;
const FEEDS = { x: noise([3, W], 9) };

describe("graphs that are not tidy", () => {
  it("a file that is not sorted gives the same cuts", async () => {
    const { nodes, weights } = chain(6);
    const tidy = planShards(skeletonOf(model({ ...IO, nodes, weights })), { shards: 3 });
    const bytes = model({ ...IO, nodes: nodes.toReversed(), weights });
    const plan = planShards(skeletonOf(bytes), { shards: 3 });
    expect(plan.cuts).toEqual(tidy.cuts);
    const pipeline = await Pipeline.open(skeletonOf(bytes), plan, new Map([["", bytes]]));
    const session = await wholeSession(new Map([["", model({ ...IO, nodes, weights })]]));
    expectSame(await pipeline.run(FEEDS), await session.run(FEEDS));
  });

  it("moby-llama with its nodes in reverse gives the same cuts", () => {
    const original = fileOf(modelFiles("mobyExternal"), "");
    const reversed = parseModel(original);
    reversed.graph.node.reverse();
    const options = { shards: 4 };
    const plan = planShards(skeletonOf(serialiseModel(reversed)), options);
    expect(plan.cuts).toEqual(planShards(skeletonOf(original), options).cuts);
  });

  it("a branch's captured names reach it over a cut, and its large weights stay outside", async () => {
    const before = chain(2, "x", "h", "a");
    const after = chain(3, "z", "y", "d");
    const then = body(
      [],
      ["t:float"],
      [node("MatMul", "h inner", "tm"), node("Add", "tm x", "t")],
      [floats("inner", [W, W])],
    );
    const other = body(
      [],
      ["e:float"],
      [node("Constant", "", "k", { value: { tensor: floats("", [W, W]) } }), node("MatMul", "h k", "e")],
    );
    const nodes = [
      ...before.nodes,
      node("If", "flag", "z", { then_branch: { body: then }, else_branch: { body: other } }),
      ...after.nodes,
    ];
    const bytes = model({
      ...IO,
      inputs: [...IO.inputs, "flag:bool:"],
      nodes,
      weights: [...before.weights, ...after.weights],
    });
    const { shardsMax } = planShards(skeletonOf(bytes));
    expect(shardsMax).toBeGreaterThanOrEqual(4);
    const ort = await import("onnxruntime-web/wasm");
    for (const flag of [1, 0]) {
      const feeds = { ...FEEDS, flag: new ort.Tensor("bool", Uint8Array.of(flag), []) };
      for (const shards of [1, 2, shardsMax]) await expectSameInShards(bytes, feeds, { shards });
    }
  });

  it("a model whose body is one If stays whole, and says why", () => {
    const inner = chain(4, "x", "t", "i");
    const branch = (name: string): ReturnType<typeof body> =>
      body([], [`${name}:float`], chain(4, "x", name, name).nodes, chain(4, "x", name, name).weights);
    expect(inner.nodes.length).toBe(8);
    const nodes = [node("If", "flag", "y", { then_branch: { body: branch("t") }, else_branch: { body: branch("e") } })];
    const skeleton = skeletonOf(model({ ...IO, inputs: [...IO.inputs, "flag:bool:"], nodes }));
    const plan = planShards(skeleton);
    expect([plan.shardsMax, plan.reason]).toEqual([
      1,
      expect.stringMatching(/runs whole: its work is inside one If node/),
    ]);
    expect(plan.shards[0]?.weights).toHaveLength(8);
    expect(() => planShards(skeleton, { shards: 2 })).toThrow(/at most 1 because its work is inside one If node/);
  });

  it("initialisers that are listed as inputs are no feeds", async () => {
    const { nodes, weights } = chain(4);
    const inputs = [...IO.inputs, ...weights.map((weight) => `${weight.name}:float:${W},${W}`)];
    const plan = await expectSameInShards(model({ ...IO, inputs, nodes, weights, ir: 3 }), FEEDS, { shards: 2 });
    expect(plan.feeds.map((feed) => feed.name)).toEqual(["x"]);
  });

  it("feeds and early results pass through shards that do not use them", async () => {
    const { nodes, weights } = chain(6, "x", "z");
    const all = [...nodes, node("Add", "z late", "y")];
    const inputs = [...IO.inputs, `late:float:b,${W}`, `unused:float:b,${W}`];
    const bytes = model({ inputs, outputs: ["y:float", "c1:float", "late:float"], nodes: all, weights });
    const feeds = { ...FEEDS, late: noise([3, W], 4), unused: noise([3, W], 5) };
    const skeleton = skeletonOf(bytes);
    const plan = planShards(skeleton, { shards: 3 });
    expect(plan.shards.map((shard) => shard.receives)).toEqual([
      ["late", "unused", "x"],
      expect.arrayContaining(["c1", "late"]),
      expect.arrayContaining(["c1", "late"]),
    ]);
    expect(plan.shards[1]?.inputs).not.toContain("late");
    expect(plan.shards[2]?.emits).toEqual(["c1", "late", "y"]);
    const pipeline = await Pipeline.open(skeleton, plan, new Map([["", bytes]]));
    expect(Object.keys(await pipeline.run(feeds)).sort()).toEqual(["c1", "late", "y"]);
  });

  it("weights that a constant node computes are made in the shard that needs them", async () => {
    const { nodes, weights } = chain(5);
    const turned = [node("Transpose", "c.w4", "turned", { perm: [1, 0] }), ...nodes].map((item) =>
      item.input?.includes("c.w4") && item.opType === "MatMul" ? { ...item, input: ["c4", "turned"] } : item,
    );
    const plan = await expectSameInShards(model({ ...IO, nodes: turned, weights }), FEEDS, { shards: 2 });
    expect(plan.shards.flatMap((shard) => shard.weights)).toHaveLength(5);
  });

  it("cheap nodes on ids and masks are rebuilt, not shipped", async () => {
    const first = chain(3, "x", "h", "a");
    const second = chain(3, "h2", "y", "d");
    const mask = [
      node("Cast", "mask", "f", { to: 1 }),
      node("Unsqueeze", "f axis", "u"),
      node("Mul", "u scale", "bias"),
    ];
    const nodes = [...mask, node("Add", "x bias", "x2"), ...first.nodes, node("Add", "h bias", "h2"), ...second.nodes];
    const used = nodes.map((item) =>
      item.input?.[0] === "x" && item.opType === "MatMul" ? { ...item, input: ["x2", "a.w0"] } : item,
    );
    const weights = [longs("axis", [1]), constant("scale", 0.5), ...first.weights, ...second.weights];
    const bytes = model({ ...IO, inputs: [...IO.inputs, "mask:int64:b"], nodes: used, weights });
    const plan = await expectSameInShards(bytes, { ...FEEDS, mask: ints([1, 0, 1], [3]) }, { shards: 3 });
    expect(plan.cuts.flatMap((cut) => cut.tensors)).not.toContain("bias");
    expect(plan.cuts[0]?.tensors).toContain("mask");
  });

  it("the shape of an early tensor travels, not the tensor", async () => {
    const first = chain(4, "x", "h");
    const last = [node("Shape", "x", "shape"), node("Expand", "h shape", "y")];
    const bytes = model({ ...IO, nodes: [...first.nodes, ...last], weights: first.weights });
    const plan = await expectSameInShards(bytes, FEEDS, { shards: 3 });
    expect(plan.cuts.map((cut) => cut.tensors)).toEqual([
      ["c1", "shape"],
      ["c2", "shape"],
    ]);
  });

  it("a damaged shape node that reads more than one tensor stands behind all of them", () => {
    const { nodes, weights } = chain(4, "x", "h");
    const bytes = model({
      ...IO,
      outputs: ["h:float", "y:int64"],
      nodes: [...nodes, node("Shape", "x h", "y")],
      weights,
    });
    for (const shardingStrategy of ["layer_based", "balanced"] as const)
      expect(planShards(skeletonOf(bytes), { shards: 3, shardingStrategy }).shards).toHaveLength(3);
  });

  it("does not cut where an operator's type rule is not known, unless value_info says the type", () => {
    const { nodes, weights } = chain(4);
    const odd = nodes.map((item) => (item.opType === "Relu" ? { ...item, opType: "Odd", domain: "my.ops" } : item));
    const bytes = model({ ...IO, nodes: odd, weights });
    const typed = parseModel(bytes);
    expect(planShards(skeletonOf(bytes)).shardsMax).toBeLessThan(4);
    for (let i = 1; i < 4; i++)
      typed.graph.valueInfo.push({ ...(typed.graph.output[0] as (typeof typed.graph.output)[0]), name: `c${i}` });
    expect(planShards(skeletonOf(serialiseModel(typed))).shardsMax).toBe(4);
  });
});

describe("bindings", () => {
  const cell = (append: boolean): Uint8Array => {
    const { nodes, weights } = chain(3, "x", "h");
    const join = append ? node("Concat", "state h", "stateN", { axis: -2 }) : node("Add", "state h", "stateN");
    const nodesAll = [...nodes, join, node("ReduceSum", "stateN", "s", { keepdims: 1 }), node("Mul", "s h", "y")];
    return model({
      inputs: [...IO.inputs, `state:float:n,${W}`],
      outputs: ["y:float", "stateN:float:m,32"],
      nodes: nodesAll,
      weights,
    });
  };

  it("finds stateN → state, and proves only what Concat appends", () => {
    const bound = (append: boolean): unknown => planShards(skeletonOf(cell(append))).shards[0]?.state;
    expect(bound(true)).toMatchObject([{ input: { name: "state" }, output: "stateN", appendAxis: 0 }]);
    expect(bound(false)).toMatchObject([{ output: "stateN", appendAxis: null }]);
  });

  it("takes given pairs, none, and refuses pairs that do not fit", () => {
    const skeleton = skeletonOf(cell(true));
    expect(planShards(skeleton, { bindings: {} }).feeds.map((feed) => feed.name)).toEqual(["x", "state"]);
    expect(planShards(skeleton, { bindings: { x: "y" } }).shards[0]?.state).toMatchObject([
      { input: { name: "x" }, output: "y" },
    ]);
    for (const bindings of [{ x: "z" }, { z: "y" }]) {
      expect(() => planShards(skeleton, { bindings })).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
    }
  });

  it("keeps a state's readers and its writer in one shard", () => {
    const { nodes, weights } = chain(6);
    const all = [node("Add", "x state", "x0"), ...nodes, node("Identity", "y", "stateN")];
    const used = all.map((item) =>
      item.input?.[0] === "x" && item.opType === "MatMul" ? { ...item, input: ["x0", "c.w0"] } : item,
    );
    const bytes = model({
      inputs: [...IO.inputs, `state:float:b,${W}`],
      outputs: ["y:float", `stateN:float:b,${W}`],
      nodes: used,
      weights,
    });
    const skeleton = skeletonOf(bytes);
    expect(planShards(skeleton)).toMatchObject({ shardsMax: 1, reason: expect.stringMatching(/state/) });
    expect(planShards(skeleton, { bindings: {} }).shardsMax).toBe(6);
  });
});

describe("bad graphs", () => {
  it.each([
    ["a cycle", [node("Add", "x b", "a"), node("Add", "a x", "b"), node("Relu", "b", "y")]],
    ["a name that nothing defines", [node("Add", "x nowhere", "y")]],
    ["a name defined twice", [node("Relu", "x", "y"), node("Neg", "x", "y")]],
  ])("%s is BAD_MODEL", (_, nodes) => {
    expect(() => planShards(skeletonOf(model({ ...IO, nodes })))).toThrow(
      expect.objectContaining({ code: "BAD_MODEL" }),
    );
  });
});

it("a damaged graph gives a plan or an error of ours, never another one", () => {
  const { bytes } = skeletonOf(encoder(1, "pre", "decomposed"));
  let seed = 5;
  for (let round = 0; round < 1500; round++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const damaged = bytes.slice();
    damaged[seed % bytes.length] = seed >>> 24;
    try {
      const skeleton = skeletonOf(damaged);
      const plan = planShards(skeleton, { shards: 2 });
      for (const shard of plan.shards) extractShard(skeleton, plan, shard.index);
    } catch (error) {
      expect(error).toBeInstanceOf(HoldfastError);
      expect((error as HoldfastError).code, String(error)).not.toBe("INTERNAL");
    }
  }
});

it("plans 6000 nodes without quadratic work", () => {
  const { nodes, weights } = chain(3000);
  const bytes = model({ ...IO, nodes, weights });
  const start = performance.now();
  const skeleton = skeletonOf(bytes);
  const plan = planShards(skeleton, { shards: 8 });
  for (const shard of plan.shards) extractShard(skeleton, plan, shard.index);
  expect(performance.now() - start).toBeLessThan(15_000);
  expect(plan.shardsMax).toBe(3000);
});

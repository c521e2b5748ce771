import { describe, expect, it } from "vitest";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { body, constant, type Fn, floats, longs, model, type Node, node, type Tensor } from "./build.ts";
import { readerOf } from "./models.ts";
import { expectSame, noise, Pipeline, wholeSession } from "./pipeline.ts";

const OPSETS = [{ domain: "", version: 17n }];

function withFunctions(nodes: readonly Node[], weights: readonly Tensor[], functions: readonly Fn[]): Uint8Array {
  return model({ inputs: ["x:float:b,32"], outputs: ["y:float"], nodes, weights, functions });
}

/** x · w, then a norm without weights, then Selu with an attribute of the call's or 1.5. */
const BLOCK: Fn = {
  domain: "mine",
  name: "Block",
  input: ["x", "w"],
  output: ["y"],
  attribute: ["axes"],
  attributeProto: [{ name: "gamma", type: 1, f: 1.5 }],
  opsetImport: [...OPSETS, { domain: "mine", version: 1n }],
  node: [
    node("MatMul", "x w", "m"),
    node("mine:Centre", "m", "c"),
    node("Selu", "c", "s", { gamma: { ref: "gamma" } }),
    node("Constant", "", "sumAxes", { value: { tensor: longs("", [-1]) } }),
    node("ReduceSum", "s sumAxes", "sum", { keepdims: 1 }),
    node("Div", "s sum", "y"),
  ],
};
const CENTRE: Fn = {
  domain: "mine",
  name: "Centre",
  input: ["x"],
  output: ["y"],
  opsetImport: OPSETS,
  node: [node("ReduceMean", "x", "mean", { axes: [-1], keepdims: 1 }), node("Sub", "x mean", "y")],
};

function chain(count: number): { nodes: Node[]; weights: Tensor[] } {
  const nodes: Node[] = [];
  const weights: Tensor[] = [];
  for (let i = 0; i < count; i++) {
    weights.push(floats(`w${i}`, [32, 32]));
    const attributes = i === 1 ? { gamma: { float: 0.7 } } : {};
    nodes.push(node("mine:Block", `${i === 0 ? "x" : `t${i - 1}`} w${i}`, i === count - 1 ? "y" : `t${i}`, attributes));
  }
  return { nodes, weights };
}

describe("a model with functions of its own", () => {
  it("is cut between and inside of their calls, to the bits of the whole model", async () => {
    const { nodes, weights } = chain(4);
    const bytes = withFunctions(nodes, weights, [BLOCK, CENTRE]);
    const files = new Map([["", bytes]]);
    const skeleton = readSkeleton(readerOf(bytes));
    const feeds = { x: noise([3, 32], 4) };
    const session = await wholeSession(files);
    const expected = await session.run(feeds);
    await session.release();
    const { shardsMax } = planShards(skeleton);
    expect(shardsMax).toBe(4);
    for (const shardingStrategy of ["layer_based", "balanced"] as const) {
      for (const shards of [1, 2, 4]) {
        const pipeline = await Pipeline.open(skeleton, planShards(skeleton, { shards, shardingStrategy }), files);
        expectSame(await pipeline.run(feeds), expected);
        await pipeline.close();
      }
    }
  });

  it("keeps a function of another operator set as a call, and does not cut beside it", () => {
    const { nodes, weights } = chain(4);
    const old = { ...CENTRE, name: "Block", input: ["x", "w"], opsetImport: [{ domain: "", version: 11n }] };
    const { shardsMax } = planShards(readSkeleton(readerOf(withFunctions(nodes, weights, [old]))));
    expect(shardsMax).toBe(1);
  });

  it("renames what bodies inside of a function capture", async () => {
    const flag: Fn = {
      domain: "mine",
      name: "Maybe",
      input: ["x", "k"],
      output: ["y"],
      opsetImport: OPSETS,
      node: [
        node("Constant", "", "zero", { value: { tensor: constant("", 0) } }),
        node("ReduceSum", "x", "all", { keepdims: 0 }),
        node("Greater", "all zero", "flag"),
        node("If", "flag", "y", {
          then_branch: { body: body([], ["t:float"], [node("MatMul", "x k", "t")]) },
          else_branch: { body: body([], ["e:float"], [node("Neg", "x", "e")]) },
        }),
      ],
    };
    const nodes = [node("mine:Maybe", "x w", "a"), node("Tanh", "a", "b"), node("MatMul", "b v", "y")];
    const bytes = withFunctions(nodes, [floats("w", [32, 32]), floats("v", [32, 32])], [flag]);
    const files = new Map([["", bytes]]);
    const skeleton = readSkeleton(readerOf(bytes));
    for (const seed of [1, 2, 3]) {
      const feeds = { x: noise([2, 32], seed) };
      const session = await wholeSession(files);
      const expected = await session.run(feeds);
      await session.release();
      const plan = planShards(skeleton, { shards: 2 });
      const pipeline = await Pipeline.open(skeleton, plan, files);
      expectSame(await pipeline.run(feeds), expected);
      await pipeline.close();
    }
  });

  it("whose functions call each other in a circle, or blow up, is BAD_MODEL", () => {
    const again = { ...CENTRE, node: [node("mine:Centre", "x", "y")] };
    const doubling = Array.from({ length: 40 }, (_, i): Fn => {
      const inner = i === 0 ? "Neg" : `mine:F${i - 1}`;
      return {
        domain: "mine",
        name: `F${i}`,
        input: ["x"],
        output: ["y"],
        opsetImport: OPSETS,
        node: [node(inner, "x", "m"), node(inner, "m", "y")],
      };
    });
    for (const [call, functions] of [
      ["mine:Centre", [again]],
      ["mine:F39", doubling],
    ] as const) {
      const bytes = withFunctions([node(call, "x", "y")], [], functions);
      expect(() => planShards(readSkeleton(readerOf(bytes)))).toThrow(expect.objectContaining({ code: "BAD_MODEL" }));
    }
  });
});

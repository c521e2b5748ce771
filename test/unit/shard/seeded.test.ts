import { describe, expect, it } from "vitest";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { encoder, floats, longs, model, type Node, node, type Tensor } from "./build.ts";
import { readerOf } from "./models.ts";
import { at, expectSame, ints, noise, Pipeline, pick, type Tensors, wholeSession } from "./pipeline.ts";

describe.each(["pre", "post"] as const)("a seeded %s-norm encoder", (style) => {
  it.each(["op", "decomposed"] as const)("with LayerNorm as %s is bit-equal in shards", async (norm) => {
    const bytes = encoder(3, style, norm);
    const files = new Map([["", bytes]]);
    const skeleton = readSkeleton(readerOf(bytes));
    const feeds = { x: noise([2, 7, 32], 5) };
    const session = await wholeSession(files);
    const expected = await session.run(feeds);
    const { shardsMax } = planShards(skeleton);
    for (const shards of new Set([1, 2, 3, shardsMax])) {
      const plan = planShards(skeleton, { shards });
      const pipeline = await Pipeline.open(skeleton, plan, files);
      expectSame(await pipeline.run(feeds), expected);
      await pipeline.close();
    }
    expect(shardsMax).toBeGreaterThan(3);
  });
});

/** A U-Net: every level on the way down is concatenated on the way up. */
function unet(levels: number): Uint8Array {
  const nodes: Node[] = [];
  const weights: Tensor[] = [];
  const conv = (x: string, y: string, from: number, to: number): void => {
    weights.push(floats(`${y}.w`, [to, from, 3, 3]), floats(`${y}.b`, [to]));
    nodes.push(node("Conv", `${x} ${y}.w ${y}.b`, `${y}.c`, { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }));
    nodes.push(node("Relu", `${y}.c`, y));
  };
  conv("x", "d0", 3, 8);
  for (let i = 1; i <= levels; i++) {
    nodes.push(node("MaxPool", `d${i - 1}`, `p${i}`, { kernel_shape: [2, 2], strides: [2, 2] }));
    conv(`p${i}`, `d${i}`, 8, 8);
  }
  let x = `d${levels}`;
  for (let i = levels - 1; i >= 0; i--) {
    weights.push(floats(`t${i}.w`, [8, 8, 2, 2]));
    nodes.push(node("ConvTranspose", `${x} t${i}.w`, `t${i}`, { kernel_shape: [2, 2], strides: [2, 2] }));
    nodes.push(node("Concat", `t${i} d${i}`, `j${i}`, { axis: 1 }));
    conv(`j${i}`, `u${i}`, 16, 8);
    x = `u${i}`;
  }
  nodes.push(node("Sigmoid", x, "y"));
  return model({ inputs: ["x:float:b,3,h,w"], outputs: ["y:float"], nodes, weights });
}

it("a seeded U-Net is cut across its skips", async () => {
  const bytes = unet(3);
  const files = new Map([["", bytes]]);
  const skeleton = readSkeleton(readerOf(bytes));
  const feeds = { x: noise([1, 3, 32, 40], 5) };
  const session = await wholeSession(files);
  const expected = await session.run(feeds);
  for (const shards of [2, 3, planShards(skeleton).shardsMax]) {
    const pipeline = await Pipeline.open(skeleton, planShards(skeleton, { shards }), files);
    expectSame(await pipeline.run(feeds), expected);
    await pipeline.close();
  }
  expect(planShards(skeleton, { shards: 2 }).cuts[0]?.tensors.length).toBeGreaterThan(1);
});

/** A decoder with GroupQueryAttention, as onnxruntime-genai writes it: one cosine cache and one mask for all layers. */
function gqaDecoder(layers: number, width = 64): Uint8Array {
  const nodes: Node[] = [
    node("Gather", "embed input_ids", "h0"),
    node("ReduceSum", "attention_mask axis1", "sum", { keepdims: 0 }),
    node("Sub", "sum one64", "minus"),
    node("Cast", "minus", "seqlens", { to: 6 }),
    node("Shape", "attention_mask", "shape"),
    node("Gather", "shape at1", "total64", { axis: 0 }),
    node("Cast", "total64", "total", { to: 6 }),
  ];
  const weights: Tensor[] = [
    floats("embed", [300, width]),
    floats("cos", [64, 16]),
    floats("sin", [64, 16]),
    longs("axis1", [1]),
    longs("one64", [1]),
    { ...longs("at1", [1]), dims: [] },
  ];
  const linear = (x: string, y: string, to: number, from = width): void => {
    weights.push(floats(`${y}.w`, [from, to]));
    nodes.push(node("MatMul", `${x} ${y}.w`, y));
  };
  const inputs = ["input_ids:int64:b,s", "attention_mask:int64:b,t"];
  const outputs = ["logits:float"];
  let h = "h0";
  for (let i = 0; i < layers; i++) {
    const past = ["key", "value"].map((part) => `past_key_values.${i}.${part}`);
    const present = ["key", "value"].map((part) => `present.${i}.${part}`);
    inputs.push(...past.map((name) => `${name}:float:b,1,p,32`));
    outputs.push(...present.map((name) => `${name}:float:b,1,t,32`));
    weights.push(floats(`l${i}.n1`, [width]), floats(`l${i}.n2`, [width]));
    nodes.push(node("SimplifiedLayerNormalization", `${h} l${i}.n1`, `l${i}.x`, { axis: -1 }));
    linear(`l${i}.x`, `l${i}.q`, 64);
    linear(`l${i}.x`, `l${i}.k`, 32);
    linear(`l${i}.x`, `l${i}.v`, 32);
    const read = `l${i}.q l${i}.k l${i}.v ${past.join(" ")} seqlens total cos sin`;
    const heads = { num_heads: 2, kv_num_heads: 1, do_rotary: 1 };
    nodes.push(node("com.microsoft:GroupQueryAttention", read, `l${i}.a ${present.join(" ")}`, heads));
    linear(`l${i}.a`, `l${i}.o`, width);
    const skip = `l${i}.s - - l${i}.r`;
    nodes.push(node("com.microsoft:SkipSimplifiedLayerNormalization", `${h} l${i}.o l${i}.n2`, skip));
    linear(`l${i}.s`, `l${i}.up`, width * 2);
    nodes.push(node("Sigmoid", `l${i}.up`, `l${i}.g`), node("Mul", `l${i}.up l${i}.g`, `l${i}.act`));
    linear(`l${i}.act`, `l${i}.down`, width, width * 2);
    nodes.push(node("Add", `l${i}.r l${i}.down`, `l${i}.out`));
    h = `l${i}.out`;
  }
  linear(h, "logits", 300);
  return model({ inputs, outputs, nodes, weights });
}

it("a seeded decoder with GroupQueryAttention is bit-equal with its caches bound per shard", async () => {
  const bytes = gqaDecoder(4);
  const files = new Map([["", bytes]]);
  const skeleton = readSkeleton(readerOf(bytes));
  const session = await wholeSession(files);
  const names = [0, 1, 2, 3].flatMap((i) => [`${i}.key`, `${i}.value`]);
  const empty = Object.fromEntries(names.map((name) => [`past_key_values.${name}`, noise([1, 1, 0, 32], 1)]));
  const steps = [[5, 9, 200, 7], [11], [12]];
  const { shardsMax } = planShards(skeleton);
  expect(shardsMax).toBeGreaterThanOrEqual(4);
  for (const shards of [1, 2, 4, shardsMax]) {
    const plan = planShards(skeleton, { shards });
    const pipeline = await Pipeline.open(skeleton, plan, files);
    pipeline.setState(empty);
    let past: Tensors = empty;
    let total = 0;
    for (const ids of steps) {
      total += ids.length;
      const mask = ints(
        Array.from({ length: total }, () => 1),
        [1, total],
      );
      const feeds = { input_ids: ints(ids, [1, ids.length]), attention_mask: mask };
      const expected = await session.run({ ...feeds, ...past });
      expectSame(await pipeline.run(feeds), pick(expected, ["logits"]));
      past = Object.fromEntries(names.map((name) => [`past_key_values.${name}`, at(expected, `present.${name}`)]));
    }
    for (const { tensors } of plan.cuts) expect(tensors.length).toBeLessThanOrEqual(4);
    await pipeline.close();
  }
});

import * as ort from "onnxruntime-web/wasm";
import { beforeAll, describe, expect, it } from "vitest";
import { ShardWeights } from "../../../src/host/shard-weights.ts";
import { extractShard } from "../../../src/shard/extract.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import type { ShardPlan, ShardSpec } from "../../../src/shard/types.ts";
import { fileOf, type ModelName, modelFiles, readerOf } from "./models.ts";
import { at, expectSame, hostSession, ints, noise, Pipeline, pick, type Tensors, wholeSession } from "./pipeline.ts";

const IMAGES = { rec: [1, 3, 48, 160], det: [1, 3, 96, 128], cls: [2, 3, 48, 192] } as const;

describe.each(["rec", "det", "cls"] as const)("%s in shards", (name) => {
  const files = modelFiles(name);
  const skeleton = readSkeleton(readerOf(fileOf(files, "")));
  const feeds = { x: noise(IMAGES[name], 11) };
  let whole: Tensors = {};
  // onnxruntime mounts external data per instance, so sessions are made one after the other.
  beforeAll(async () => {
    const session = await wholeSession(files);
    whole = await session.run(feeds);
    await session.release();
  });

  it.each([1, 2, 3, 4, 7])("K = %i gives the bits of the whole model", async (shards) => {
    const plan = planShards(skeleton, { shards });
    expect(plan.shards).toHaveLength(shards);
    for (const shard of plan.shards) expect(shard.weights.length).toBeGreaterThan(0);
    const pipeline = await Pipeline.open(skeleton, plan, files);
    expectSame(await pipeline.run(feeds), whole);
    await pipeline.close();
  });

  it("K = the most gives the bits of the whole model", async () => {
    const { shardsMax } = planShards(skeleton);
    const pipeline = await Pipeline.open(skeleton, planShards(skeleton, { shards: shardsMax }), files);
    expectSame(await pipeline.run(feeds), whole);
    await pipeline.close();
  });
});

const LAYERS = [0, 1, 2, 3, 4, 5];
const PAST = LAYERS.flatMap((i) => [`past_key_values.${i}.key`, `past_key_values.${i}.value`]);
const EMPTY: Tensors = Object.fromEntries(PAST.map((name) => [name, noise([1, 2, 0, 32], 1)]));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The feeds of one step: `ids` follow `past` tokens. */
function step(ids: readonly number[], past: number): Tensors {
  const total = past + ids.length;
  return {
    input_ids: ints(ids, [1, ids.length]),
    attention_mask: ints(
      Array.from({ length: total }, () => 1),
      [1, total],
    ),
    position_ids: ints(range(past, total), [1, ids.length]),
  };
}

const STEPS = [step([68, 390, 398, 314, 854, 1675, 444, 47], 0), step([314], 8), step([40], 9), step([327, 556], 10)];
const present = (past: string): string => past.replace("past_key_values", "present");

async function runWhole(name: ModelName): Promise<Tensors[]> {
  const session = await wholeSession(modelFiles(name));
  const answers: Tensors[] = [];
  let past = EMPTY;
  for (const feeds of STEPS) {
    const results = await session.run({ ...feeds, ...past });
    answers.push(results);
    past = Object.fromEntries(PAST.map((input) => [input, at(results, present(input))]));
  }
  await session.release();
  return answers;
}

const weightBytes = (plan: ShardPlan): number => plan.shards.reduce((sum, shard) => sum + shard.weightBytes, 0);

describe.each(["moby", "mobyExternal"] as const)("%s in shards", (name) => {
  const files = modelFiles(name);
  const skeleton = readSkeleton(readerOf(fileOf(files, "")));
  let whole: readonly Tensors[] = [];
  beforeAll(async () => {
    whole = await runWhole(name);
  });

  it.each(name === "moby" ? [1, 2, 3, 4, 14] : [1, 3])("K = %i: prefill and decode are bit-equal", async (shards) => {
    const plan = planShards(skeleton, { shards });
    const pipeline = await Pipeline.open(skeleton, plan, files);
    pipeline.setState(EMPTY);
    for (const [i, expected] of whole.entries()) {
      expectSame(await pipeline.run(STEPS[i] ?? {}), pick(expected, ["logits"]));
      for (const output of PAST.map(present)) expectSame({ s: pipeline.stateOf(output) }, { s: at(expected, output) });
    }
    await pipeline.close();
  });

  it("without bindings the caches travel as feeds and results", async () => {
    const plan = planShards(skeleton, { shards: 2, bindings: {} });
    expect(plan.feeds).toHaveLength(15);
    expect(plan.results).toHaveLength(13);
    const pipeline = await Pipeline.open(skeleton, plan, files);
    expectSame(await pipeline.run({ ...(STEPS[0] ?? {}), ...EMPTY }), whole[0] ?? {});
    await pipeline.close();
  });
});

describe("a weight that two nodes read", () => {
  const files = modelFiles("moby");
  const skeleton = readSkeleton(readerOf(fileOf(files, "")));
  const plan = planShards(skeleton);
  const shard = plan.shards[0] as ShardSpec;
  const unmarked = shard.weights.map(({ isShared: _, ...weight }) => weight);
  const graph = extractShard(skeleton, plan, 0);

  it("is marked: here the table that is both the embedding and the head", () => {
    const shared = shard.weights.filter(({ isShared }) => isShared);
    expect(shared.map(({ length }) => length)).toEqual([Math.max(...shard.weights.map(({ length }) => length))]);
  });
  it("is asked for twice by onnxruntime, which makes no session when it is gone", async () => {
    const weights = new ShardWeights();
    for (const { path, length, offset } of unmarked)
      weights.put({ path, length, offset: 0, bytes: fileOf(files, "").slice(offset, offset + length), isKept: false });
    await expect(ort.InferenceSession.create(graph, { externalData: weights.files() })).rejects.toThrow();
    expect(weights.askedAgain).toBe(true);
  });
  it("and is not marked makes the shard load a second time, with the same results", async () => {
    const session = await hostSession(graph, { weights: unmarked }, files);
    const [whole] = await runWhole("moby");
    expectSame(await session.run({ ...(STEPS[0] ?? {}), ...EMPTY }), whole ?? {});
    await session.release();
  });
});

describe("the plan of moby-llama", () => {
  const bytes = fileOf(modelFiles("moby"), "");
  const skeleton = readSkeleton(readerOf(bytes));

  it("binds each layer's cache, with the axis along which it grows", () => {
    const { state } = planShards(skeleton).shards[0] ?? { state: [] };
    expect(state.map(({ input, output, appendAxis }) => [input.name, output, appendAxis])).toEqual(
      PAST.map((input) => [input, present(input), 2]),
    );
    expect(state[0]?.input.dims).toEqual(["batch_size", 2, "past_sequence_length", 32]);
  });

  it("ships one activation, two shapes and two small feeds over each cut", () => {
    const plan = planShards(skeleton, { shards: 4 });
    for (const { tensors } of plan.cuts) {
      expect(tensors).toEqual([
        expect.stringMatching(/Shape_1_output_0$/),
        expect.stringMatching(/Shape_output_0$/),
        expect.stringMatching(/layers\.\d\/Add(_1)?_output_0$/),
        "attention_mask",
        "position_ids",
      ]);
    }
  });

  it("shares the weights out: the tied embedding twice, all else once", () => {
    const whole = weightBytes(planShards(skeleton));
    expect(whole).toBeGreaterThan(11_000_000);
    const embedding = 2048 * 192 * 4;
    for (const shards of [2, 3, 4]) {
      const plan = planShards(skeleton, { shards });
      const extra = weightBytes(plan) - whole - embedding;
      expect(extra).toBeGreaterThanOrEqual(0);
      expect(extra).toBeLessThan(10_000);
      const largest = Math.max(...plan.shards.map((shard) => shard.weightBytes));
      expect(largest).toBeLessThan((whole / shards) * 1.5);
    }
  });

  it("refuses more shards than there are cuts, and names the most", () => {
    const { shardsMax, reason } = planShards(skeleton);
    expect(shardsMax).toBe(14);
    expect(reason).toContain("up to 14");
    expect(() => planShards(skeleton, { shards: 15 })).toThrow(expect.objectContaining({ code: "TOO_MANY_SHARDS" }));
    expect(() => planShards(skeleton, { shards: 15 })).toThrow(/at most 14/);
    expect(() => planShards(skeleton, { shards: 1.5 })).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });
});

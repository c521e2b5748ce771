import { beforeAll, describe, expect, it } from "vitest";
import { planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { SHARDING_STRATEGY_OPTIONS } from "../../../../src/shard/types.ts";
import { fileOf, modelFiles, readerOf } from "../models.ts";
import { expectSame, ints, noise, Pipeline, pick, type Tensors, wholeSession } from "../pipeline.ts";
import { hostOf } from "./uneven.ts";

const files = modelFiles("moby");
const skeleton = readSkeleton(readerOf(fileOf(files, "")));
const PAST = [0, 1, 2, 3, 4, 5].flatMap((i) => [`past_key_values.${i}.key`, `past_key_values.${i}.value`]);
const EMPTY: Tensors = Object.fromEntries(PAST.map((name) => [name, noise([1, 2, 0, 32], 1)]));
const HOSTS = [hostOf("chrome", 4), hostOf("edge", 1), hostOf("firefox", 2), hostOf("edge", 4), hostOf("chrome", 8)];

function feedsOf(ids: readonly number[], past: number): Tensors {
  const total = past + ids.length;
  const positions = ids.map((_, i) => past + i);
  return {
    input_ids: ints(ids, [1, ids.length]),
    attention_mask: ints(new Array<number>(total).fill(1), [1, total]),
    position_ids: ints(positions, [1, ids.length]),
  };
}
const STEPS = [feedsOf([68, 390, 398, 314, 854, 1675, 444, 47], 0), feedsOf([314], 8), feedsOf([40], 9)];

describe("moby-llama, a prefill and two tokens", () => {
  const expected: Tensors[] = [];
  const done = new Set<string>();
  beforeAll(async () => {
    const session = await wholeSession(files);
    let past = EMPTY;
    for (const feeds of STEPS) {
      const results = await session.run({ ...feeds, ...past });
      expected.push(pick(results, ["logits"]));
      past = Object.fromEntries(
        PAST.map((name) => [name, pick(results, [name.replace("past_key_values", "present")])]).flatMap(
          ([name, tensors]) => Object.values(tensors as Tensors).map((tensor) => [name, tensor]),
        ),
      );
    }
    await session.release();
  }, 60_000);

  it.each(SHARDING_STRATEGY_OPTIONS.flatMap((strategy) => [2, 5].map((shards) => [strategy, shards] as const)))(
    "%s at K = %i gives the bits of the whole model",
    async (shardingStrategy, shards) => {
      const plan = planShards(skeleton, { shards, shardingStrategy, hosts: HOSTS });
      const places = plan.cuts.map((cut) => cut.place).join();
      if (done.has(places)) return;
      done.add(places);
      const pipeline = await Pipeline.open(skeleton, plan, files);
      pipeline.setState(EMPTY);
      for (const [i, feeds] of STEPS.entries()) expectSame(await pipeline.run(feeds), expected[i] ?? {});
      await pipeline.close();
    },
  );

  it("has at least four different cuts among them", () => {
    expect(done.size).toBeGreaterThanOrEqual(4);
  });
});

it.each(["moby", "rec", "det", "cls"] as const)(
  "every strategy cuts %s into any number of shards up to the most",
  (name) => {
    const bytes = readSkeleton(readerOf(fileOf(modelFiles(name), "")));
    const { shardsMax } = planShards(bytes);
    for (const shardingStrategy of SHARDING_STRATEGY_OPTIONS) {
      for (let shards = 1; shards <= shardsMax; shards++) {
        const plan = planShards(bytes, { shards, shardingStrategy });
        expect(plan.shards).toHaveLength(shards);
        for (const shard of plan.shards)
          expect(shard.weightBytes, `${shardingStrategy} ${shards}`).toBeGreaterThan(1024);
      }
    }
  },
  120_000,
);

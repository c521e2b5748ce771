import fc from "fast-check";
import * as ort from "onnxruntime-web/wasm";
import { expect, it } from "vitest";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { readerOf } from "./models.ts";
import { offeredStrategies } from "./offered.ts";
import { expectSame, noise, Pipeline, type Tensors, wholeSession } from "./pipeline.ts";
import { buildRandom, type Genome, genomes, W } from "./random-graph.ts";

const RUNS = process.env["HOLDFAST_LONG"] === "1" ? 3000 : 150;

function feedsOf({ feeds, flag }: Genome): Tensors {
  const tensors = Array.from({ length: feeds }, (_, i) => [`x${i}`, noise([3, W], i + 1)] as const);
  return { ...Object.fromEntries(tensors), flag: new ort.Tensor("bool", Uint8Array.of(flag ? 1 : 0), []) };
}

it("random graphs give the same bits whole and at every K, by every strategy", async () => {
  let cuts = 0;
  await fc.assert(
    fc.asyncProperty(genomes, fc.nat(20), async (genome, choice) => {
      const { sorted, shuffled } = buildRandom(genome);
      const feeds = feedsOf(genome);
      const session = await wholeSession(new Map([["", sorted]]));
      const expected = await session.run(feeds);
      await session.release();
      const files = new Map([["", shuffled]]);
      const skeleton = readSkeleton(readerOf(shuffled));
      const offered = offeredStrategies(skeleton);
      const shardingStrategy = offered[choice % offered.length];
      const { shardsMax } = planShards(skeleton, { shardingStrategy });
      const sessions = new Map();
      try {
        for (let shards = 1; shards <= shardsMax; shards++) {
          const plan = planShards(skeleton, { shards, shardingStrategy });
          const pipeline = await Pipeline.open(skeleton, plan, files, sessions);
          expectSame(await pipeline.run(feeds), expected);
          cuts += plan.cuts.length;
        }
      } finally {
        for (const made of sessions.values()) await made.release();
      }
    }),
    { numRuns: RUNS },
  );
  // Most random graphs can be cut: the property was not held by running all of them whole.
  expect(cuts).toBeGreaterThan(RUNS);
}, 3_600_000);

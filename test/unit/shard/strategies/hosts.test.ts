import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { costModel } from "../../../../src/shard/cost-model.ts";
import { cutSpace } from "../../../../src/shard/cuts.ts";
import { graphOf } from "../../../../src/shard/graph.ts";
import { narrowCuts } from "../../../../src/shard/narrow.ts";
import { planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { fits, hopMs, stageMs } from "../../../../src/shard/stage-time.ts";
import { rangesOf } from "../../../../src/shard/strategies/strategy.ts";
import { SHARDING_STRATEGY_OPTIONS } from "../../../../src/shard/types.ts";
import { fileOf, modelFiles, readerOf } from "../models.ts";
import { hostOf, unevenModel } from "./uneven.ts";

const MB = 2 ** 20;
const moby = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));
const uneven = readSkeleton(readerOf(unevenModel()));
const outOfMemory = expect.objectContaining({ code: "OUT_OF_MEMORY" });

function* arrangements(hosts: readonly number[], count: number): Generator<number[]> {
  if (count === 0) yield [];
  for (const host of hosts)
    if (count > 0)
      for (const rest of arrangements(
        hosts.filter((h) => h !== host),
        count - 1,
      ))
        yield [host, ...rest];
}
function* choices(places: readonly number[], count: number): Generator<number[]> {
  if (count === 0) yield [];
  for (const [i, p] of places.entries())
    if (count > 0) for (const rest of choices(places.slice(i + 1), count - 1)) yield [p, ...rest];
}

it("hardware_aware finds the smallest period of all cuts and all orders of hosts that fit", () => {
  const graph = graphOf(uneven);
  const space = cutSpace(graph, []);
  const narrow = narrowCuts(space);
  const costs = costModel(graph, space, []);
  const speeds = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 })), {
    minLength: 3,
    maxLength: 4,
  });
  fc.assert(
    fc.property(speeds, fc.integer({ min: 1, max: 3 }), (rows, shards) => {
      const hosts = rows.map(([speed, memory]) => hostOf("chrome", speed, { memoryBytes: memory * 200_000 }));
      let best = Number.POSITIVE_INFINITY;
      for (const order of arrangements(
        hosts.map((_, i) => i),
        shards,
      )) {
        for (const cuts of choices(narrow.legal, shards - 1)) {
          const ranges = rangesOf(cuts, costs.count);
          const times = ranges.map(([a, b], i) => {
            const host = hosts[order[i] ?? 0] as (typeof hosts)[number];
            const isPossible = narrow.hasWeights(a, b) && fits(costs, a, b, host);
            return isPossible ? stageMs(costs, a, b, host) + hopMs(costs, b, host) : Number.POSITIVE_INFINITY;
          });
          best = Math.min(best, Math.max(...times));
        }
      }
      const plan = () => planShards(uneven, { shards, shardingStrategy: "hardware_aware", hosts });
      if (best === Number.POSITIVE_INFINITY) {
        expect(plan).toThrow(outOfMemory);
        return;
      }
      const { stages } = plan();
      expect(Math.max(...stages.map((stage) => stage.estimatedMs + stage.hopMs))).toBeCloseTo(best, 9);
      expect(new Set(stages.map((stage) => stage.host?.index)).size).toBe(shards);
    }),
    { numRuns: 25, seed: 11 },
  );
});

describe("hosts with little memory", () => {
  const small = hostOf("edge", 9, { memoryBytes: 4 * MB });
  const large = hostOf("chrome", 1, { memoryBytes: 64 * MB });

  it("get what fits, even where they are the fastest", () => {
    const { stages } = planShards(moby, { shards: 2, shardingStrategy: "hardware_aware", hosts: [small, large] });
    for (const { host, needBytes } of stages) expect(needBytes).toBeLessThanOrEqual((host?.index === 0 ? 4 : 64) * MB);
    expect(stages.map(({ host }) => host?.browserType).sort()).toEqual(["chrome", "edge"]);
  });

  it("that hold the model nowhere are told how many shards would do", () => {
    const plan = (shards: number) => planShards(moby, { shards, shardingStrategy: "hardware_aware", hosts: [small] });
    expect(() => plan(2)).toThrow(outOfMemory);
    expect(() => plan(2)).toThrow(/in 2 shards this model needs \d+ MB in one host.*\(4 MB\): ask for [4-9] shards/);
    const fewest = Number(/ask for (\d+) shards/.exec(messageOf(() => plan(2)))?.[1]);
    expect(plan(fewest).shards).toHaveLength(fewest);
    expect(() => plan(fewest - 1)).toThrow(outOfMemory);
  });

  it("are refused by every strategy, never overfilled", () => {
    const tiny = hostOf("edge", 1, { memoryBytes: MB });
    for (const shardingStrategy of SHARDING_STRATEGY_OPTIONS) {
      expect(() => planShards(moby, { shards: 2, shardingStrategy, hosts: [tiny, tiny] })).toThrow(outOfMemory);
    }
  });

  it("make a model that is not asked to be cut fall into as few shards as fit", () => {
    const plan = planShards(moby, { shardingStrategy: "hardware_aware", hosts: [small, small] });
    expect(plan.shards.length).toBeGreaterThan(2);
    expect(plan.reason).toMatch(/^\d shards because no host holds the model whole/);
    expect(planShards(moby, { shardingStrategy: "hardware_aware", hosts: [large] }).shards).toHaveLength(1);
  });

  it("and small buffers keep large tensors away", () => {
    const narrowBuffers = hostOf("edge", 9, { bufferBytesMax: MB });
    const { stages } = planShards(moby, {
      shards: 3,
      shardingStrategy: "hardware_aware",
      hosts: [narrowBuffers, large, large],
    });
    const onEdge = stages.filter(({ host }) => host?.browserType === "edge");
    for (const { largestBytes } of onEdge) expect(largestBytes).toBeLessThanOrEqual(MB);
    // The embedding, 1.5 MB, is tied: the first and the last shard hold it.
    expect(() => planShards(moby, { shards: 3, shardingStrategy: "hardware_aware", hosts: [narrowBuffers] })).toThrow(
      /its largest tensor \(2 MB\) a buffer: use hosts with more memory/,
    );
  });
});

it("a profile without speed or memory is refused", () => {
  for (const wrong of [{ memoryBytes: 0 }, { flopsPerMs: 0 }, { bytesPerMs: Number.NaN }, { hopMs: -1 }]) {
    expect(() => planShards(moby, { hosts: [hostOf("chrome", 1, wrong)] })).toThrow(
      expect.objectContaining({ code: "BAD_OPTIONS" }),
    );
  }
});

it("one fast host gets the most work, one slow host the least", () => {
  const hosts = [hostOf("chrome", 1), hostOf("edge", 8), hostOf("firefox", 2)];
  const { stages, shards } = planShards(moby, { shards: 3, shardingStrategy: "hardware_aware", hosts });
  const nodes = stages.map((stage, i) => [stage.host?.browserType, shards[i]?.nodes] as const);
  expect(nodes.toSorted((a, b) => (b[1] ?? 0) - (a[1] ?? 0)).map(([browser]) => browser)).toEqual([
    "edge",
    "firefox",
    "chrome",
  ]);
});

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return String(error);
  }
  return "";
}

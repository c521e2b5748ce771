import { expect, it } from "vitest";
import { explainPlan } from "../../../src/shard/explain.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { type PlanSummary, summarize } from "../../../src/shard/summary.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";
import { hostOf, unevenModel } from "./strategies/uneven.ts";

const moby = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));

it("a plan explains each shard: bytes, time, host, what it takes and why it ends there", () => {
  const hosts = [hostOf("chrome", 1), hostOf("edge", 2)];
  const plan = planShards(readSkeleton(readerOf(unevenModel())), {
    shards: 2,
    shardingStrategy: "hardware_aware",
    hosts,
  });
  const { shards, text, reason } = explainPlan(summarize(plan));
  expect(reason).toBe(plan.reason);
  expect(shards.map((shard) => shard.weightBytes)).toEqual(plan.shards.map((shard) => shard.weightBytes));
  for (const [i, shard] of shards.entries()) {
    expect(shard.estimatedMs).toBeCloseTo(plan.stages[i]?.estimatedMs ?? -1, 2);
    expect(shard.hopMs).toBeCloseTo(plan.stages[i]?.hopMs ?? -1, 2);
    expect(shard.why).toMatch(/ms on (chrome|edge) \(wasm\), 1 of 64 MB/);
  }
  // Four tokens of the last layer's 960 floats; all sizes are in the graph.
  expect(shards[1]?.cut).toEqual([{ name: "/decoder/layers.3.2", bytes: 4 * 960 * 4, isGuess: false }]);
  expect(shards.map((shard) => shard.browserType).sort()).toEqual(["chrome", "edge"]);
  expect(text.split("\n")).toEqual([
    expect.stringMatching(/^hardware_aware: 2 shards as asked for, each shard fits its host/),
    expect.stringMatching(/^shard 0 on \w+: [\d.]+ KB of weights, about [\d.]+ ms: /),
    expect.stringMatching(/^shard 1 on \w+: [\d.]+ KB of weights, about [\d.]+ ms: /),
    expect.stringMatching(/^ {2}takes \S+ \(15 KB\)$/),
  ]);
});

it("what depends on a size that nobody knows is called a guess", () => {
  const { shards } = explainPlan(summarize(planShards(moby, { shards: 2 })));
  const hidden = shards[1]?.cut.find(({ name }) => name.includes("layers"));
  expect(hidden).toMatchObject({ bytes: 192 * 4, isGuess: true });
});

it("a summary stays small enough for the journal, and a plan that an earlier version stored is explained too", () => {
  const summary = summarize(planShards(moby, { shards: 4 }));
  expect(JSON.stringify(summary).length).toBeLessThan(5000);
  const old: PlanSummary = { ...summary, shards: summary.shards.map(({ estimate: _, ...shard }) => shard) };
  const { shards, text } = explainPlan(old);
  expect(shards[1]).toMatchObject({ estimatedMs: null, browserType: null, why: "" });
  expect(text).toMatch(/shard 1: [\d.]+ MB of weights\n {2}takes /);
});

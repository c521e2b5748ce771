import { describe, expect, it } from "vitest";
import { extractShard } from "../../../../src/shard/extract.ts";
import type { BrowserEvidence } from "../../../../src/shard/host-profile.ts";
import { parseModel } from "../../../../src/shard/model.ts";
import { planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { SHARDING_STRATEGIES, type ShardingStrategy, type ShardPlan } from "../../../../src/shard/types.ts";
import { readerOf } from "../models.ts";
import { hostOf, LAYERS, PARTS, unevenModel } from "./uneven.ts";

const SHARDS = 4;
const HOSTS = [hostOf("edge", 1), hostOf("chrome", 4), hostOf("firefox", 2), hostOf("chrome", 1)];
/** Measured so often that the table of strengths counts for little: firefox is quick, chrome slow. */
const EVIDENCE: readonly BrowserEvidence[] = [
  { browserType: "chrome", samples: 90, avgDurationMs: 160, successRate: 1 },
  { browserType: "firefox", samples: 90, avgDurationMs: 40, successRate: 1 },
  { browserType: "edge", samples: 90, avgDurationMs: 100, successRate: 1 },
];
/** What 90 runs and the table (text: edge × 0.8, counted as 10 runs) make of it, by hand: mean 100 ms. */
const EXPECTED: Readonly<Record<string, number>> = {
  chrome: (10 * 1 + 90 * 1.6) / 100,
  firefox: (10 * 1 + 90 * 0.4) / 100,
  edge: (10 * 0.8 + 90 * 1) / 100,
};

const skeleton = readSkeleton(readerOf(unevenModel()));
const plans = new Map(
  SHARDING_STRATEGIES.map((shardingStrategy) => [
    shardingStrategy,
    planShards(skeleton, { shards: SHARDS, shardingStrategy, hosts: HOSTS, evidence: EVIDENCE }),
  ]),
);

/** The nodes with weights of each shard, read from what it would really run. */
function partsOf(plan: ShardPlan): string[][] {
  return plan.shards.map(({ index }) => {
    const nodes = parseModel(extractShard(skeleton, plan, index)).graph.node.map((node) => node.name);
    return nodes.filter((name) => PARTS.has(name));
  });
}

/** One score for every objective; smaller is better. Knows nothing of the planner: only names and bytes. */
function scores(plan: ShardPlan): Record<ShardingStrategy, number> {
  const shards = partsOf(plan);
  const bytes = shards.map((names) => names.reduce((sum, name) => sum + (PARTS.get(name)?.bytes ?? 0), 0));
  const hosts = plan.stages.map((stage, i) => stage.host?.index ?? i);
  const layersIn = shards.map((names) => new Set(names.flatMap((name) => PARTS.get(name)?.layer ?? [])).size);
  const homes = (key: (name: string) => unknown): number => {
    const found = new Map<unknown, Set<number>>();
    for (const [i, names] of shards.entries())
      for (const name of names) found.set(key(name), (found.get(key(name)) ?? new Set()).add(i));
    return [...found].filter(([value, where]) => value !== null && where.size > 1).length;
  };
  const time = (host: number, amount: number): number => amount / (HOSTS[host]?.bytesPerMs ?? 1);
  return {
    layer_based: layersIn.reduce((sum, layers) => sum + (layers - LAYERS / SHARDS) ** 2, 0),
    component_based: homes((name) => PARTS.get(name)?.component) + homes((name) => PARTS.get(name)?.layer ?? null),
    balanced: Math.max(...bytes),
    hardware_aware: Math.max(...bytes.map((amount, i) => time(hosts[i] ?? 0, amount))),
    browser_optimized: Math.max(
      ...bytes.map(
        (amount, i) => time(hosts[i] ?? 0, amount) * (EXPECTED[HOSTS[hosts[i] ?? 0]?.browserType ?? ""] ?? 1),
      ),
    ),
  };
}

describe("five plans of one uneven model on unlike hosts", () => {
  it("differ pairwise, in their cuts or in who runs what", () => {
    const seen = [...plans.values()].map((plan) =>
      JSON.stringify([partsOf(plan), plan.stages.map(({ host }) => host?.index)]),
    );
    expect(new Set(seen).size).toBe(5);
    const cuts = [...plans.values()].map((plan) => JSON.stringify(plan.cuts.map(({ place }) => place)));
    expect(new Set(cuts).size, cuts.join(" ")).toBe(5);
  });

  it.each(SHARDING_STRATEGIES)("%s wins on its own objective", (strategy) => {
    const own = scores(plans.get(strategy) as ShardPlan)[strategy];
    for (const [other, plan] of plans) {
      if (other !== strategy) expect(own, `${strategy} against ${other}`).toBeLessThan(scores(plan)[strategy]);
    }
  });

  it("layer_based gives each shard two layers, component_based splits none", () => {
    expect(scores(plans.get("layer_based") as ShardPlan).layer_based).toBe(0);
    expect(scores(plans.get("component_based") as ShardPlan).component_based).toBe(0);
  });
});

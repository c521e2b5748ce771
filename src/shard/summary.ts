import type { Family } from "./family.ts";
import type { ShardingStrategy, ShardPlan, ValueSpec } from "./types.ts";

/** What everybody but a keeper needs to know of a plan: small enough for the journal. */
export interface PlanSummary {
  readonly strategy: ShardingStrategy;
  readonly reason: string;
  /** Absent in summaries that an earlier version stored. */
  readonly family?: Family | null;
  readonly shardsMax: number;
  readonly feeds: readonly ValueSpec[];
  readonly results: readonly ValueSpec[];
  /** Inputs that stay in the hosts as state. */
  readonly stateInputs: readonly string[];
  readonly shards: readonly ShardSummary[];
}

export interface ShardSummary {
  readonly index: number;
  readonly weightBytes: number;
  readonly nodes: number;
  /** What arrives from the shard before this one. */
  readonly cutTensors: readonly string[];
  /** Absent in summaries that an earlier version stored. */
  readonly estimate?: ShardEstimate;
}

/** What a plan expects of one shard. */
export interface ShardEstimate {
  readonly ms: number;
  readonly hopMs: number;
  /** Of each of `cutTensors`; negative: a guess, some size of it was assumed. */
  readonly cutBytes: readonly number[];
  readonly browserType: string | null;
  readonly why: string;
}

export function summarize(plan: ShardPlan): PlanSummary {
  return {
    strategy: plan.strategy,
    reason: plan.reason,
    family: plan.family,
    shardsMax: plan.shardsMax,
    feeds: plan.feeds,
    results: plan.results,
    stateInputs: plan.shards.flatMap((shard) => shard.state.map(({ input }) => input.name)),
    shards: plan.shards.map((shard) => ({
      index: shard.index,
      weightBytes: shard.weightBytes,
      nodes: shard.nodes,
      cutTensors: shard.index === 0 ? [] : shard.receives,
      estimate: estimateOf(plan, shard.index),
    })),
  };
}

function estimateOf(plan: ShardPlan, index: number): ShardEstimate {
  const stage = plan.stages[index];
  const sizes = plan.cuts[index - 1]?.sizes ?? [];
  return {
    ms: rounded(stage?.estimatedMs ?? 0),
    hopMs: rounded(stage?.hopMs ?? 0),
    cutBytes: sizes.map(({ bytes, known }) => (known ? bytes : -bytes)),
    browserType: stage?.host?.browserType ?? null,
    why: stage?.why ?? "",
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

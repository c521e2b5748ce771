import type { ShardingStrategy, ShardPlan, ValueSpec } from "./types.ts";

/** What everybody but a keeper needs to know of a plan: small enough for the journal. */
export interface PlanSummary {
  readonly strategy: ShardingStrategy;
  readonly reason: string;
  readonly shardsMax: number;
  readonly feeds: readonly ValueSpec[];
  readonly results: readonly ValueSpec[];
  /** Inputs that stay in the hosts as state. */
  readonly stateInputs: readonly string[];
  readonly shards: readonly {
    readonly index: number;
    readonly weightBytes: number;
    readonly nodes: number;
    /** What arrives from the shard before this one. */
    readonly cutTensors: readonly string[];
  }[];
}

export function summarize(plan: ShardPlan): PlanSummary {
  return {
    strategy: plan.strategy,
    reason: plan.reason,
    shardsMax: plan.shardsMax,
    feeds: plan.feeds,
    results: plan.results,
    stateInputs: plan.shards.flatMap((shard) => shard.state.map(({ input }) => input.name)),
    shards: plan.shards.map((shard) => ({
      index: shard.index,
      weightBytes: shard.weightBytes,
      nodes: shard.nodes,
      cutTensors: shard.index === 0 ? [] : shard.receives,
    })),
  };
}

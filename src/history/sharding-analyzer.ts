import { durationsOf, type PerformanceEntry } from "./entry.ts";
import { meanOf } from "./statistics.ts";
import { SHARD_COUNT_ENTRIES_MIN } from "./thresholds.ts";
import type { PerformanceHistoryTracker } from "./tracker.ts";
import type { PerformanceTrends, TrendQuery } from "./trends.ts";

/** What one number of shards was measured to take. */
export interface ShardCountTimes {
  readonly shards: number;
  /** Milliseconds of computation in all stages, one after the other. */
  readonly latencyMs: number;
  /** Milliseconds of the slowest stage: what a pipeline that is kept busy takes for each run. */
  readonly slowestStageMs: number;
  /** Measurements of the stage that has the fewest. */
  readonly samples: number;
}

export interface ShardCountRecommendation {
  /** Null: too little was measured; `reason` says what is missing. */
  readonly recommendedShards: number | null;
  readonly reason: string;
  readonly measured: readonly ShardCountTimes[];
}

/** Reads a history of sharded runs: entries of operation "inference" with the metrics `stage` and `shards`. */
export class ModelShardingAnalyzer {
  constructor(private readonly performanceHistory: PerformanceHistoryTracker) {}

  analyzePerformanceTrends(query: TrendQuery = {}): PerformanceTrends {
    return this.performanceHistory.analyzePerformanceTrends(query);
  }

  /** `pipelined`: several runs are under way at once, so the slowest stage counts and not the sum. */
  recommendShardCount(modelName: string, { pipelined = false } = {}): ShardCountRecommendation {
    const all = timesByShardCount(this.performanceHistory.entries, modelName);
    const measured = all.filter(({ samples }) => samples >= SHARD_COUNT_ENTRIES_MIN);
    const cost = (times: ShardCountTimes): number => (pipelined ? times.slowestStageMs : times.latencyMs);
    // Of equals the fewest hosts.
    const [best, next] = [...measured].sort((a, b) => cost(a) - cost(b) || a.shards - b.shards);
    if (best === undefined || next === undefined) return { recommendedShards: null, reason: whyNone(all), measured };
    const what = pipelined ? "the slowest stage takes" : "the stages together take";
    const reason = `With ${best.shards} shards ${what} ${cost(best).toFixed(1)} ms a run, with ${next.shards} ${cost(next).toFixed(1)} ms (${measured.length} numbers of shards were measured).`;
    return { recommendedShards: best.shards, reason, measured };
  }
}

function whyNone(all: readonly ShardCountTimes[]): string {
  const seen = all.map(({ shards, samples }) => `${shards} shards: ${samples}`).join(", ");
  return `Too little evidence: at least two numbers of shards must be measured, each stage ${SHARD_COUNT_ENTRIES_MIN} times (${seen || "nothing was measured"}).`;
}

/** By rising number of shards. A number of which some stage was never measured has 0 samples and no times to compare. */
function timesByShardCount(entries: readonly PerformanceEntry[], modelName: string): ShardCountTimes[] {
  const counts = new Map<number, Map<number, PerformanceEntry[]>>();
  for (const entry of entries) {
    const { stage, shards } = entry.metrics;
    if (entry.modelName !== modelName || entry.operation !== "inference") continue;
    if (stage === undefined || shards === undefined) continue;
    const stages = counts.get(shards) ?? new Map<number, PerformanceEntry[]>();
    stages.set(stage, [...(stages.get(stage) ?? []), entry]);
    counts.set(shards, stages);
  }
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([shards, stages]) => {
      const durations = [...stages.values()].map(durationsOf);
      const means = durations.map((values) => meanOf(values) ?? 0);
      return {
        shards,
        latencyMs: means.reduce((sum, mean) => sum + mean, 0),
        slowestStageMs: Math.max(0, ...means),
        samples: stages.size < shards ? 0 : Math.min(...durations.map(({ length }) => length)),
      };
    });
}

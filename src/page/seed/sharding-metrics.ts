import { meanOf } from "../../history/statistics.ts";
import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { OriginOperation, OriginStatus } from "../../protocol/origin.ts";
import { resourceBytes } from "./pool-metrics.ts";
import type { PooledModel } from "./pooled-model.ts";

/** One figure of a model: over all, by stage, and by browser type. Null: not known yet. */
export interface Figure {
  readonly total: number | null;
  readonly perShard: readonly (number | null)[];
  readonly perBrowser: Readonly<Record<string, number | null>>;
}

export interface ShardingMetrics {
  /** Milliseconds a run: as the page waits for it, and as each stage computes. */
  readonly latency: Figure;
  /** Runs a second. */
  readonly throughput: Figure;
  /** 0 to 1 over what has finished. */
  readonly successRate: Figure;
  /** 0 to 1 over finished recoveries. */
  readonly recoveryRate: Figure;
  /** Bytes of weights, live tensors and heap. */
  readonly memory: Figure;
}

export function shardingMetrics(
  { browsers, operations }: OriginStatus,
  { modelName, session, stageOf }: Pick<PooledModel, "modelName" | "session" | "stageOf">,
  tracker: PerformanceHistoryTracker,
): ShardingMetrics {
  const runs = tracker.getEntriesByModel(modelName).filter(({ operation }) => operation === "inference");
  const own = operations.filter(({ browserId }) => stageOf(browserId) !== null);
  const inferences = own.filter(({ operation }) => operation === "inference");
  const recoveries = own.filter(({ operation }) => operation === "recovery");
  const stages = session.stages.map(({ stage }) => stage);
  const types = [...new Set(own.map(({ browserType }) => browserType))];
  type Of = (some: readonly OriginOperation[]) => number | null;
  const figure = (total: number | null, of: Of, from: readonly OriginOperation[]): Figure => ({
    total,
    perShard: stages.map((stage) => of(from.filter(({ browserId }) => stageOf(browserId)?.stage === stage))),
    perBrowser: Object.fromEntries(types.map((type) => [type, of(from.filter((one) => one.browserType === type))])),
  });
  const latency = meanMs(runs);
  const perSecond: Of = (some) => inverse(meanMs(some));
  const bytes = browsers
    .filter(({ sessionId }) => sessionId === session.id)
    .map((browser) => ({
      ...browser,
      bytes: browser.stage.weightBytes + resourceBytes(browser, "tensors") + resourceBytes(browser, "heap"),
    }));
  const sum = (some: typeof bytes): number => some.reduce((all, one) => all + one.bytes, 0);
  return {
    latency: figure(latency, meanMs, inferences),
    throughput: figure(inverse(latency), perSecond, inferences),
    successRate: figure(rateOf(runs), rateOf, inferences),
    recoveryRate: figure(rateOf(recoveries), rateOf, recoveries),
    memory: {
      total: sum(bytes),
      perShard: stages.map((stage) => sum(bytes.filter((one) => one.stage.stage === stage))),
      perBrowser: Object.fromEntries(types.map((type) => [type, sum(bytes.filter((one) => one.browserType === type))])),
    },
  };
}

type Finished = Pick<OriginOperation, "status" | "durationMs">;

function meanMs(some: readonly Finished[]): number | null {
  return meanOf(some.flatMap((one) => (hasSucceeded(one) && one.durationMs !== null ? [one.durationMs] : [])));
}

function rateOf(some: readonly Finished[]): number | null {
  const finished = some.filter(({ status }) => status !== "running" && status !== "aborted");
  return finished.length === 0 ? null : finished.filter(hasSucceeded).length / finished.length;
}

function hasSucceeded({ status }: Finished): boolean {
  return status === "completed" || status === "recovered";
}

function inverse(ms: number | null): number | null {
  return ms === null || ms <= 0 ? null : 1_000 / ms;
}

import { durationsOf, isFinished } from "./entry.ts";
import { meanOf } from "./statistics.ts";
import { FAILURE_RATE_HIGH, SLOW_OPERATION_MS } from "./thresholds.ts";
import type { PerformanceHistoryTracker } from "./tracker.ts";

export type PerformanceRecommendation =
  | {
      readonly issue: "degrading_performance";
      readonly description: string;
      /** Milliseconds per operation. */
      readonly trend_magnitude: number;
      readonly recommendation: string;
    }
  | {
      readonly issue: "high_failure_rate";
      readonly description: string;
      /** 0 to 1. */
      readonly failure_rate: number;
      readonly recommendation: string;
    }
  | {
      readonly issue: "slow_operation";
      readonly description: string;
      readonly avg_duration_ms: number;
      readonly recommendation: string;
    };

/** The seed's JSON, with its keys and units. */
export interface PerformanceRecommendations {
  /** `model_<name>`, `browser_<type>`, `operation_<type>`. */
  readonly recommendations: Readonly<Record<string, PerformanceRecommendation>>;
  readonly recommendation_count: number;
  /** Operations that have finished. */
  readonly based_on_entries: number;
  /** Epoch seconds. */
  readonly generation_time: number;
}

/** What history says should be changed. `now`: epoch milliseconds. */
export function performanceRecommendations(
  tracker: PerformanceHistoryTracker,
  now: number,
): PerformanceRecommendations {
  const recommendations: Record<string, PerformanceRecommendation> = {};
  const { modelNames, browserTypes, operationTypes } = tracker.getStatistics();
  for (const model of modelNames) {
    const found = degradingModel(tracker, model, operationTypes);
    if (found !== null) recommendations[`model_${model}`] = found;
  }
  for (const type of browserTypes) {
    const rate = tracker.getFailureRateByBrowserType(type);
    if (rate === null || rate <= FAILURE_RATE_HIGH) continue;
    recommendations[`browser_${type}`] = {
      issue: "high_failure_rate",
      description: `Browser type ${type} has a high failure rate (${(100 * rate).toFixed(1)}%)`,
      failure_rate: rate,
      recommendation: "Consider using a different browser type",
    };
  }
  for (const operation of operationTypes) {
    const average = meanOf(durationsOf(tracker.getEntriesByOperation(operation)));
    if (average === null || average <= SLOW_OPERATION_MS) continue;
    recommendations[`operation_${operation}`] = {
      issue: "slow_operation",
      description: `Operation ${operation} is slow (${average.toFixed(1)} ms on average)`,
      avg_duration_ms: average,
      recommendation: "Consider optimizing the operation or using faster hardware",
    };
  }
  return {
    recommendations,
    recommendation_count: Object.keys(recommendations).length,
    based_on_entries: tracker.entries.filter(isFinished).length,
    generation_time: now / 1000,
  };
}

/** A load takes a thousand times as long as a run: each kind of operation is looked at on its own, and the worst told. */
function degradingModel(
  tracker: PerformanceHistoryTracker,
  modelName: string,
  operationTypes: readonly string[],
): PerformanceRecommendation | null {
  const slopes = operationTypes.flatMap((operationType) => {
    const { trendDirection, trendMagnitude } = tracker.analyzePerformanceTrends({ modelName, operationType });
    return trendDirection === "degrading" && trendMagnitude !== null ? [trendMagnitude] : [];
  });
  if (slopes.length === 0) return null;
  return {
    issue: "degrading_performance",
    description: `Performance for model ${modelName} is degrading significantly`,
    trend_magnitude: Math.max(...slopes),
    recommendation: "Consider browser type change or hardware upgrade",
  };
}

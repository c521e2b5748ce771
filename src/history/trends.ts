import { durationsOf, type EntryFilter, isFinished, matches, type PerformanceEntry, successRateOf } from "./entry.ts";
import { mannKendallP, meanOf, theilSenSlope } from "./statistics.ts";
import {
  TREND_ENTRIES_MAX,
  TREND_P_MAX,
  TREND_SLOPE_MIN_MS,
  TREND_TIME_WINDOW_MS,
  TREND_WINDOW_ENTRIES,
} from "./thresholds.ts";

export type TrendDirection = "improving" | "stable" | "degrading";

export interface TrendQuery extends EntryFilter {
  readonly timeWindowMs?: number | undefined;
}

/** Durations in milliseconds, of successful operations; null where there is none to tell it from. */
export interface PerformanceTrends {
  /** Operations that have finished. */
  readonly entriesAnalyzed: number;
  readonly avgDurationMs: number | null;
  readonly minDurationMs: number | null;
  readonly maxDurationMs: number | null;
  /** 0 to 1 over the finished. */
  readonly successRate: number | null;
  /** Null: too few operations for a trend; `note` says so. */
  readonly trendDirection: TrendDirection | null;
  /** Milliseconds that an operation takes more, or less, than the one before it. */
  readonly trendMagnitude: number | null;
  /** (oldest − recent) / oldest: 0.2 is a fifth faster. */
  readonly improvementRate: number | null;
  readonly avgRecentDurationMs: number | null;
  readonly avgOldestDurationMs: number | null;
  /** One sentence where something is missing, else null. */
  readonly note: string | null;
}

/** `entries` in the order of recording. An entry from a clock that was set back since is as far away as it says. */
export function analyzeTrends(
  entries: readonly PerformanceEntry[],
  now: number,
  { timeWindowMs = TREND_TIME_WINDOW_MS, ...filter }: TrendQuery = {},
): PerformanceTrends {
  const finished = entries.filter(
    (entry) => isFinished(entry) && matches(entry, filter) && Math.abs(now - entry.startTime) <= timeWindowMs,
  );
  const durations = durationsOf(finished);
  const summary = {
    entriesAnalyzed: finished.length,
    avgDurationMs: meanOf(durations),
    minDurationMs: leastOf(durations),
    maxDurationMs: mostOf(durations),
    successRate: successRateOf(finished),
  };
  return { ...summary, ...trendOf(durations) };
}

function trendOf(
  all: readonly number[],
): Omit<PerformanceTrends, "entriesAnalyzed" | "avgDurationMs" | "minDurationMs" | "maxDurationMs" | "successRate"> {
  const durations = all.slice(-TREND_ENTRIES_MAX);
  const needed = 2 * TREND_WINDOW_ENTRIES;
  if (durations.length < needed) {
    const none = { trendDirection: null, trendMagnitude: null, improvementRate: null };
    const note = `A trend needs ${needed} successful operations with a measured time; there are ${durations.length}.`;
    return { ...none, avgRecentDurationMs: null, avgOldestDurationMs: null, note };
  }
  const oldest = meanOf(durations.slice(0, TREND_WINDOW_ENTRIES)) as number;
  const recent = meanOf(durations.slice(-TREND_WINDOW_ENTRIES)) as number;
  const slope = theilSenSlope(durations);
  return {
    trendDirection: directionOf(slope, durations),
    trendMagnitude: Math.abs(slope),
    improvementRate: oldest === 0 ? 0 : (oldest - recent) / oldest,
    avgRecentDurationMs: recent,
    avgOldestDurationMs: oldest,
    note: null,
  };
}

function directionOf(slope: number, durations: readonly number[]): TrendDirection {
  if (Math.abs(slope) <= TREND_SLOPE_MIN_MS || mannKendallP(durations) >= TREND_P_MAX) return "stable";
  return slope > 0 ? "degrading" : "improving";
}

function leastOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.min(...values);
}

function mostOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.max(...values);
}

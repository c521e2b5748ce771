import { durationsOf, isFinished, matches, type PerformanceEntry, successRateOf } from "./entry.ts";
import { meanOf } from "./statistics.ts";
import { CONFIDENT_ENTRIES } from "./thresholds.ts";

export interface BrowserQuery {
  readonly modelName?: string | undefined;
  readonly operationType?: string | undefined;
  readonly availableTypes: readonly string[];
}

export interface BrowserRecommendation {
  /** Null: history speaks for none of them. */
  readonly recommendedType: string | null;
  readonly reason: string;
  /** 0 to 1: min(1, n / 10) × success rate of the recommended type. */
  readonly confidence: number;
  /** Of successful operations; a type without one is missing. */
  readonly avgDurations: Readonly<Record<string, number>>;
  /** 0 to 1 over finished operations, failures among them. */
  readonly successRates: Readonly<Record<string, number>>;
  /** Finished operations. */
  readonly sampleCounts: Readonly<Record<string, number>>;
}

interface Candidate {
  readonly type: string;
  readonly samples: number;
  readonly avgDurationMs: number;
  readonly successRate: number;
  /** A failed operation is made again: the time until one succeeds. */
  readonly expectedMs: number;
}

/** The browser type that gives an answer soonest, counting what failures cost. */
export function recommendBrowser(
  entries: readonly PerformanceEntry[],
  { modelName, operationType, availableTypes }: BrowserQuery,
): BrowserRecommendation {
  const avgDurations: Record<string, number> = {};
  const successRates: Record<string, number> = {};
  const sampleCounts: Record<string, number> = {};
  const candidates: Candidate[] = [];
  const types = [...new Set(availableTypes)];
  for (const type of types) {
    const finished = entries.filter(
      (entry) => isFinished(entry) && matches(entry, { modelName, operationType, browserType: type }),
    );
    sampleCounts[type] = finished.length;
    const successRate = successRateOf(finished);
    if (successRate !== null) successRates[type] = successRate;
    const avgDurationMs = meanOf(durationsOf(finished));
    if (avgDurationMs === null || successRate === null) continue;
    avgDurations[type] = avgDurationMs;
    const expectedMs = avgDurationMs / successRate;
    candidates.push({ type, samples: finished.length, avgDurationMs, successRate, expectedMs });
  }
  const evidence = { avgDurations, successRates, sampleCounts };
  // Of equals the one that is known better, then the caller's order.
  const [best] = candidates.sort((a, b) => a.expectedMs - b.expectedMs || b.samples - a.samples);
  if (best === undefined)
    return { recommendedType: null, reason: whyNone(types, sampleCounts), confidence: 0, ...evidence };
  const confidence = Math.min(1, best.samples / CONFIDENT_ENTRIES) * best.successRate;
  return { recommendedType: best.type, reason: whyBest(best, candidates.length), confidence, ...evidence };
}

function whyNone(types: readonly string[], sampleCounts: Readonly<Record<string, number>>): string {
  if (types.length === 0) return "No browser type is available.";
  const tried = types.filter((type) => (sampleCounts[type] ?? 0) > 0);
  if (tried.length === 0) return `There is no history of ${types.join(", ")} for this yet.`;
  const untried = types.filter((type) => !tried.includes(type));
  const rest = untried.length === 0 ? "" : `; ${untried.join(", ")} was never tried`;
  return `No operation of ${tried.join(", ")} succeeded with a measured time${rest}.`;
}

function whyBest({ type, samples, avgDurationMs, successRate }: Candidate, compared: number): string {
  const figures = `${avgDurationMs.toFixed(1)} ms on average and ${(100 * successRate).toFixed(1)}% successful`;
  const over = `over ${samples} ${samples === 1 ? "operation" : "operations"}`;
  return compared === 1
    ? `Only ${type} has succeeded so far: ${figures} ${over}.`
    : `${type} gives an answer soonest of ${compared} browser types: ${figures} ${over}.`;
}

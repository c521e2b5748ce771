import { FAMILIES } from "../shard/family.ts";
import type { FamilyEvidence } from "../shard/host-profile.ts";
import { tries } from "../shard/strengths.ts";
import { durationsOf, type PerformanceEntry, successRateOf } from "./entry.ts";
import { meanOf } from "./statistics.ts";
import type { PerformanceHistoryTracker } from "./tracker.ts";

/**
 * What history knows of browser types over all models of a family. Times of unlike models say nothing to each other, so types
 * are compared where they ran the same stage of the same plan on the same provider (metric `family`: its place in FAMILIES),
 * each counted by its runs. A type that was never beside another is in no row.
 */
export function familyEvidenceOf(tracker: PerformanceHistoryTracker): FamilyEvidence[] {
  const runs = tracker.getEntriesByOperation("inference");
  const rows = new Map<string, { readonly row: FamilyEvidence; readonly sum: number }>();
  for (const group of groupsOf(runs)) {
    const family = FAMILIES[group[0]?.metrics["family"] ?? -1];
    const types = [...new Set(group.map(({ browserType }) => browserType))];
    if (family === undefined || types.length < 2) continue;
    const times = types.map((browserType) => {
      const own = durationsOf(group.filter((entry) => entry.browserType === browserType));
      const all = runs.filter((run) => run.browserType === browserType && run.modelName === group[0]?.modelName);
      return { browserType, samples: own.length, ms: (meanOf(own) ?? 0) * tries(successRateOf(all) ?? 1) };
    });
    const mean = meanOf(times.map(({ ms }) => ms)) ?? 0;
    if (mean <= 0) continue;
    for (const { browserType, samples, ms } of times) {
      const key = `${family} ${browserType}`;
      const before = rows.get(key);
      const total = samples + (before?.row.samples ?? 0);
      const sum = (samples * ms) / mean + (before?.sum ?? 0);
      rows.set(key, { row: { browserType, family, samples: total, relative: sum / total }, sum });
    }
  }
  return [...rows.values()].map(({ row }) => row);
}

/** Successful runs of one stage of one plan, whoever made them. */
function groupsOf(runs: readonly PerformanceEntry[]): PerformanceEntry[][] {
  const groups = new Map<string, PerformanceEntry[]>();
  for (const run of runs) {
    const { family, shards, stage, weightBytes, provider } = run.metrics;
    if (family === undefined || durationsOf([run]).length === 0) continue;
    const key = [family, shards, stage, weightBytes, provider, run.modelName].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()];
}

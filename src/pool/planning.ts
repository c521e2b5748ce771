import { familyEvidenceOf } from "../history/family-evidence.ts";
import { evidenceOf, hostProfile, stageMeasurements } from "../history/host-profile.ts";
import type { HostReport } from "../protocol/host.ts";
import { PROVIDERS, type SessionOptions } from "../protocol/options.ts";
import type { PlanningInput } from "../protocol/planning.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import type { PoolHistory } from "./needs.ts";

/** What is known of the hosts that a session will have, and of its model, when the model is to be cut. */
export function planningInput(
  { tracker, reports }: PoolHistory,
  { model, options }: Pick<SessionRecord, "model" | "options">,
): PlanningInput {
  const count = options.shards ?? 1;
  const report = likelyReport(reports, options);
  const hosts = report === null ? [] : Array.from({ length: count }, () => hostProfile(report, report.speed, count));
  const types = new Set([reports.ownType, ...tracker.getStatistics().browserTypes]);
  return {
    hosts,
    evidence: evidenceOf(tracker, model, [...types]),
    families: familyEvidenceOf(tracker),
    stages: stageMeasurements(tracker, model),
  };
}

/** Its hosts have not booted yet: of the caller's providers the first that worked here, with no list the last that was taken. */
function likelyReport(reports: PoolHistory["reports"], { executionProviders }: SessionOptions): HostReport | null {
  const known = (executionProviders ?? PROVIDERS).flatMap((provider) => reports.own(provider) ?? []);
  if (executionProviders !== null) return known[0] ?? null;
  return known.reduce<HostReport | null>(
    (best, report) => (best === null || report.at > best.at ? report : best),
    null,
  );
}

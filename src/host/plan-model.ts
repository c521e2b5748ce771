import type { SessionOptions } from "../protocol/options.ts";
import type { PlanningInput, StageMeasurement } from "../protocol/planning.ts";
import type { Measurement } from "../shard/calibrate.ts";
import type { HostProfile } from "../shard/host-profile.ts";
import { planShards } from "../shard/plan.ts";
import type { Skeleton } from "../shard/skeleton.ts";
import type { ShardPlan } from "../shard/types.ts";

/**
 * Cuts a model as asked for, by what is known of the hosts. A plan whose stages ran before is made once more, with the
 * cost of its nodes as it was measured.
 * @throws HoldfastError as `planShards` does.
 */
export function planModel(
  skeleton: Skeleton,
  { shards, shardingStrategy, stateBindings }: SessionOptions,
  { hosts, evidence, families, stages }: PlanningInput,
): ShardPlan {
  const options = { shards: shards ?? undefined, shardingStrategy, bindings: stateBindings, hosts, evidence, families };
  const plan = planShards(skeleton, options);
  const measured = measurementOf(plan, hosts, stages);
  return measured === null ? plan : planShards(skeleton, { ...options, measured });
}

/** What the stages of just this plan took on hosts like these; null: none of them was measured. */
function measurementOf(
  { stages, cuts }: ShardPlan,
  profiles: readonly HostProfile[],
  measurements: readonly StageMeasurement[],
): Measurement | null {
  const hosts = stages.flatMap(({ host }) => profiles[host?.index ?? -1] ?? []);
  const stageMs = stages.map(({ weightBytes }, stage) => {
    const found = measurements.find(
      (one) =>
        one.shards === stages.length &&
        one.stage === stage &&
        one.weightBytes === weightBytes &&
        one.browserType === hosts[stage]?.browserType &&
        one.provider === hosts[stage]?.provider,
    );
    return found?.ms ?? null;
  });
  const isKnown = hosts.length === stages.length && stageMs.some((ms) => ms !== null);
  return isKnown ? { places: cuts.map(({ place }) => place), stageMs, hosts } : null;
}

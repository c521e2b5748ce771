import { planShards } from "../../../src/shard/plan.ts";
import type { Skeleton } from "../../../src/shard/skeleton.ts";
import { SHARDING_STRATEGIES, type ShardingStrategy } from "../../../src/shard/types.ts";

/** The strategies that can be asked for. */
export function offeredStrategies(skeleton: Skeleton): ShardingStrategy[] {
  return SHARDING_STRATEGIES.filter((shardingStrategy) => {
    try {
      planShards(skeleton, { shards: 1, shardingStrategy });
      return true;
    } catch {
      return false;
    }
  });
}

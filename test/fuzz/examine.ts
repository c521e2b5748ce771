import { HoldfastError } from "../../src/base/errors.ts";
import { extractShard } from "../../src/shard/extract.ts";
import { planShards } from "../../src/shard/plan.ts";
import { readSkeleton } from "../../src/shard/skeleton.ts";
import type { ShardingStrategy, ShardPlan } from "../../src/shard/types.ts";
import { validatePlan } from "../../src/shard/validate.ts";
import { readerOf } from "../unit/shard/models.ts";

/** What a file that is no good may be answered with. INTERNAL is not among them: it says that we are at fault. */
const REFUSALS = ["BAD_MODEL", "UNSUPPORTED_OP"] as const;
/** How a case may end. */
export const OUTCOMES = ["plan", ...REFUSALS] as const;
type Outcome = (typeof OUTCOMES)[number];

/**
 * Plans a file whole and in the most shards (up to 3), and writes every shard's graph.
 * @returns "plan", or the code of the refusal; throws whatever is neither.
 */
export function examine(bytes: Uint8Array, shardingStrategy: ShardingStrategy): Outcome {
  try {
    const skeleton = readSkeleton(readerOf(bytes));
    const whole = planShards(skeleton, { shards: 1, shardingStrategy });
    const shards = Math.min(3, whole.shardsMax);
    const plans: ShardPlan[] = shards === 1 ? [whole] : [whole, planShards(skeleton, { shards, shardingStrategy })];
    for (const plan of plans) {
      validatePlan(plan);
      for (const { index } of plan.shards) extractShard(skeleton, plan, index);
    }
    return "plan";
  } catch (error) {
    const refusal = error instanceof HoldfastError ? REFUSALS.find((code) => code === error.code) : undefined;
    if (refusal !== undefined) return refusal;
    throw error;
  }
}

import * as v from "valibot";
import { HoldfastError } from "../base/errors.ts";
import { CHECKPOINT_INTERVAL_MS, RECOVERY_ATTEMPTS_MAX, REPLICAS_MAX } from "../base/limits.ts";
import { leavesSteps, strategiesOf } from "../fault/ladder.ts";
import { FAULT_TOLERANCE_LEVELS, LEVELS, RECOVERY_STRATEGIES } from "../fault/levels.ts";
import { SHARDING_STRATEGY_OPTIONS } from "../shard/types.ts";
import { PLACES, PROVIDERS, type SessionOptions } from "./options.ts";

/** The journal keeps them: names of tensors, not whatever a page would like to store there. */
const Name = v.pipe(v.string(), v.maxLength(1_000));
const Bindings = v.pipe(
  v.record(Name, Name),
  v.check((bindings) => Object.keys(bindings).length <= 10_000, "too many bindings"),
);

const Schema = v.strictObject({
  shards: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000))), null),
  shardingStrategy: v.optional(v.picklist(SHARDING_STRATEGY_OPTIONS), "layer_based"),
  faultToleranceLevel: v.optional(v.picklist(FAULT_TOLERANCE_LEVELS), "medium"),
  recoveryStrategy: v.optional(v.picklist(RECOVERY_STRATEGIES), "progressive"),
  maxRecoveryAttempts: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10)),
    RECOVERY_ATTEMPTS_MAX,
  ),
  checkpointIntervalMs: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(86_400_000)), CHECKPOINT_INTERVAL_MS),
  browserHealthCheckIntervalMs: v.exactOptional(v.pipe(v.number(), v.minValue(1_000), v.maxValue(86_400_000))),
  executionProviders: v.optional(
    v.nullable(v.pipe(v.array(v.picklist(PROVIDERS)), v.minLength(1), v.maxLength(3))),
    null,
  ),
  place: v.optional(v.picklist(PLACES), "tab"),
  stateBindings: v.optional(v.union([v.literal("auto"), Bindings]), "auto"),
  replicas: v.exactOptional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(3),
      v.maxValue(REPLICAS_MAX),
      v.check((count) => count % 2 === 1, "an even number of voters can split"),
    ),
  ),
  spotCheck: v.exactOptional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
});

/**
 * Checks what a page asks for and fills in the defaults. Runs in the page for a quick answer and in the pool because a
 * page is not to be trusted. Throws BAD_OPTIONS with what is allowed instead.
 */
export function parseSessionOptions(input: unknown): SessionOptions {
  const parsed = v.safeParse(Schema, input);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const path = issue === undefined ? "options" : (v.getDotPath(issue) ?? "options");
    throw new HoldfastError(
      "BAD_OPTIONS",
      `The option ${path} is not valid: ${issue?.message ?? "unknown"}. Correct it or leave it out.`,
    );
  }
  const options: SessionOptions = parsed.output;
  const { faultToleranceLevel: level, recoveryStrategy: strategy } = options;
  if (options.replicas !== undefined && !LEVELS[level].votes)
    throw new HoldfastError(
      "BAD_OPTIONS",
      `Level ${level} runs a stage on one host; replicas belong to level critical.`,
    );
  if ((options.spotCheck ?? 0) > 0 && !LEVELS[level].standbys)
    throw new HoldfastError(
      "BAD_OPTIONS",
      `Level ${level} has no second host to check with; spotCheck belongs to level high.`,
    );
  if (!leavesSteps(level, strategy)) {
    throw new HoldfastError(
      "BAD_OPTIONS",
      `Level ${level} leaves no step to strategy ${strategy}; use ${strategiesOf(level).join(", ")}.`,
    );
  }
  if (options.place === "offscreen" && level !== "none") {
    throw new HoldfastError(
      "BAD_OPTIONS",
      "The offscreen document serves level none only: its death would end the extension. Use place tab, or level none.",
    );
  }
  return options;
}

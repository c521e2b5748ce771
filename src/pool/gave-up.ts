import { HoldfastError } from "../base/errors.ts";
import type { RecoveryCommand } from "../fault/decide-recovery.ts";
import type { SessionOptions } from "../protocol/options.ts";

export type GiveUpCommand = Extract<RecoveryCommand, { type: "give_up" }>;

/** What a session ends with when its ladder does: what was tried, and what to do about it. */
export function gaveUpError(
  stage: number,
  { recoveryStrategy, faultToleranceLevel }: Pick<SessionOptions, "recoveryStrategy" | "faultToleranceLevel">,
  { fault, tried }: GiveUpCommand,
): HoldfastError {
  const { category, signal } = fault;
  const steps = tried.map((rung) => rung.join(" beside ")).join(", then ");
  const message =
    tried.length === 0
      ? `Stage ${stage} failed (${signal}), and strategy ${recoveryStrategy} has no step at level ${faultToleranceLevel} that helps after this ${category} fault. Release the session and open it again, with recoveryStrategy "progressive".`
      : `Stage ${stage} failed again after ${steps} (${signal}). Release the session and open it again with another provider, more shards or a smaller input.`;
  return new HoldfastError("RECOVERY_FAILED", message, { category });
}

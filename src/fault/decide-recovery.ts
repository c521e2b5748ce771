import type { ErrorCategory } from "../base/errors.ts";
import { assertNever } from "../base/errors.ts";
import { ladderFor } from "./ladder.ts";
import type { FaultToleranceLevel, RecoveryStep, RecoveryStrategy } from "./levels.ts";

export interface Fault {
  readonly category: ErrorCategory;
  readonly signal: string;
  readonly pageGone: boolean;
  /** The host's frame was already thrown away by its keeper. */
  readonly hostDropped: boolean;
}

/** One stage's recovery. `climbs` counts steps since the stage last did verified work. */
export type Recovery =
  | { readonly phase: "healthy" }
  | { readonly phase: "trying" | "verifying"; readonly climbs: number; readonly since: number; readonly fault: Fault }
  | { readonly phase: "given_up"; readonly fault: Fault };

export type RecoveryEvent =
  | { readonly type: "fault"; readonly fault: Fault; readonly now: number }
  /** The replacement holds the shard. */
  | { readonly type: "ready" }
  /** The replacement answered: its state was restored, the missing runs were replayed. */
  | { readonly type: "verified" };

export type RecoveryCommand =
  | { readonly type: "climb"; readonly step: RecoveryStep; readonly delayMs: number }
  | { readonly type: "give_up"; readonly fault: Fault };

export interface RecoveryPolicy {
  readonly level: FaultToleranceLevel;
  readonly strategy: RecoveryStrategy;
  readonly attemptsMax: number;
  readonly backoffMs: readonly number[];
}

/** Decides and does nothing. Every path ends in `healthy` or `given_up` within `attemptsMax` climbs. */
export function decideRecovery(
  state: Recovery,
  event: RecoveryEvent,
  policy: RecoveryPolicy,
): readonly [Recovery, readonly RecoveryCommand[]] {
  switch (event.type) {
    case "fault": {
      if (state.phase === "given_up") return [state, []];
      const climbs = state.phase === "healthy" ? 0 : state.climbs;
      const since = state.phase === "healthy" ? event.now : state.since;
      const { fault } = event;
      const ladder = ladderFor(policy.level, policy.strategy, fault);
      const step = ladder[Math.min(climbs, ladder.length - 1)];
      if (step === undefined || climbs >= policy.attemptsMax)
        return [{ phase: "given_up", fault }, [{ type: "give_up", fault }]];
      const delayMs = policy.backoffMs[Math.min(climbs, policy.backoffMs.length - 1)] ?? 0;
      return [{ phase: "trying", climbs: climbs + 1, since, fault }, [{ type: "climb", step, delayMs }]];
    }
    case "ready":
      return state.phase === "trying" ? [{ ...state, phase: "verifying" }, []] : [state, []];
    case "verified":
      return state.phase === "verifying" ? [{ phase: "healthy" }, []] : [state, []];
    default:
      return assertNever(event);
  }
}

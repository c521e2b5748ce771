import type { ErrorCategory } from "../base/errors.ts";
import { assertNever } from "../base/errors.ts";
import { type Ladder, ladderFor, type Rung } from "./ladder.ts";
import type { FaultToleranceLevel, RecoveryStrategy } from "./levels.ts";

export interface Fault {
  readonly category: ErrorCategory;
  readonly signal: string;
  readonly pageGone: boolean;
  /** The host's frame was already thrown away by its keeper. */
  readonly hostDropped: boolean;
}

/** One stage's recovery. `tried`: the rungs climbed since the stage last did verified work. */
export type Recovery =
  | { readonly phase: "healthy" }
  | {
      readonly phase: "trying" | "verifying";
      readonly tried: readonly Rung[];
      readonly since: number;
      readonly fault: Fault;
    }
  | { readonly phase: "given_up"; readonly fault: Fault };

export type RecoveryEvent =
  | { readonly type: "fault"; readonly fault: Fault; readonly now: number }
  /** The replacement holds the shard. */
  | { readonly type: "ready" }
  /** The replacement answered: its state was restored, the missing runs were replayed. */
  | { readonly type: "verified" };

export type RecoveryCommand =
  /** `tried`: what failed before, and this falls back from. */
  | { readonly type: "climb"; readonly steps: Rung; readonly tried: readonly Rung[]; readonly delayMs: number }
  | { readonly type: "give_up"; readonly fault: Fault; readonly tried: readonly Rung[] };

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
      const tried = state.phase === "healthy" ? [] : state.tried;
      const climbs = tried.length;
      const since = state.phase === "healthy" ? event.now : state.since;
      const { fault } = event;
      const ladder = ladderFor(policy.level, policy.strategy, fault);
      const steps = nextRung(ladder, tried);
      if (steps === undefined || climbs >= policy.attemptsMax)
        return [{ phase: "given_up", fault }, [{ type: "give_up", fault, tried }]];
      const delayMs = policy.backoffMs[Math.min(climbs, policy.backoffMs.length - 1)] ?? 0;
      return [{ phase: "trying", tried: [...tried, steps], since, fault }, [{ type: "climb", steps, tried, delayMs }]];
    }
    case "ready":
      return state.phase === "trying" ? [{ ...state, phase: "verifying" }, []] : [state, []];
    case "verified":
      return state.phase === "verifying" ? [{ phase: "healthy" }, []] : [state, []];
    default:
      return assertNever(event);
  }
}

/** The one above what was tried; another category may have another ladder. The last rung repeats. */
function nextRung(ladder: Ladder, tried: readonly Rung[]): Rung | undefined {
  const names = tried.map((rung) => rung.join());
  const highest = ladder.findLastIndex((rung) => names.includes(rung.join()));
  return ladder[Math.min(highest + 1, ladder.length - 1)];
}

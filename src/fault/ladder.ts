import { ERROR_CATEGORIES, type ErrorCategory } from "../base/errors.ts";
import {
  type FaultToleranceLevel,
  LEVELS,
  RECOVERY_STRATEGIES,
  type RecoveryStep,
  type RecoveryStrategy,
} from "./levels.ts";

/** Steps that are tried at once, each with a host of its own; all but strategy `parallel` try one at a time. */
export type Rung = readonly RecoveryStep[];
/** What is tried, in order; the last rung repeats. */
export type Ladder = readonly Rung[];

interface StrategyRow {
  /** What is held and put back: the stage that failed, or all of its session together. The latter takes a level that keeps state. */
  readonly scope: "stage" | "session";
  readonly ladders: Readonly<Record<ErrorCategory, Ladder>>;
}

/** Reconnecting helps only where the host itself may be well. */
const MAY_BE_WELL = (ladder: Ladder) => ({ CONNECTION: ladder, TIMEOUT: ladder });

/** The table strategy × category → steps. A level takes out the steps that it does not allow. */
export const STRATEGIES: Readonly<Record<RecoveryStrategy, StrategyRow>> = {
  restart: { scope: "stage", ladders: all([["restart"]]) },
  reconnect: { scope: "stage", ladders: { ...all([]), ...MAY_BE_WELL([["reconnect"]]) } },
  failover: { scope: "stage", ladders: all([["failover"]]) },
  progressive: {
    scope: "stage",
    ladders: { ...all([["restart"], ["failover"]]), ...MAY_BE_WELL([["reconnect"], ["restart"], ["failover"]]) },
  },
  // Reconnecting and restarting want the same host, so the second of them waits for the first.
  parallel: {
    scope: "stage",
    ladders: {
      ...all([["restart", "failover"]]),
      ...MAY_BE_WELL([
        ["reconnect", "failover"],
        ["restart", "failover"],
      ]),
    },
  },
  coordinated: {
    scope: "session",
    ladders: { ...all([["restart"], ["failover"]]), ...MAY_BE_WELL([["reconnect"], ["restart"], ["failover"]]) },
  },
};

/** Level none has no ladder of the caller's: the run fails, and the host is replaced before the next one. */
const REPLACED: Ladder = [["restart"], ["failover"]];

function all(ladder: Ladder): Record<ErrorCategory, Ladder> {
  return Object.fromEntries(ERROR_CATEGORIES.map((category) => [category, ladder])) as Record<ErrorCategory, Ladder>;
}

/** The steps of a strategy for a category that a level allows; empty: nothing can help. */
export function rungsOf(level: FaultToleranceLevel, strategy: RecoveryStrategy, category: ErrorCategory): Ladder {
  if (level === "none") return REPLACED;
  const { scope, ladders } = STRATEGIES[strategy];
  const { steps, keepsState } = LEVELS[level];
  if (scope === "session" && !keepsState) return [];
  return without(ladders[category], (step) => !steps.includes(step));
}

/** A level and a strategy that leave no step for any category are refused. Level none ignores its strategy. */
export function leavesSteps(level: FaultToleranceLevel, strategy: RecoveryStrategy): boolean {
  return level === "none" || ERROR_CATEGORIES.some((category) => rungsOf(level, strategy, category).length > 0);
}

/** The strategies that leave a level at least one step; at level none, where they are ignored, none. */
export function strategiesOf(level: FaultToleranceLevel): RecoveryStrategy[] {
  return level === "none" ? [] : RECOVERY_STRATEGIES.filter((strategy) => leavesSteps(level, strategy));
}

/** Whether all stages of a session are held and put back together. */
export function isCoordinated(level: FaultToleranceLevel, strategy: RecoveryStrategy): boolean {
  return LEVELS[level].keepsState && STRATEGIES[strategy].scope === "session";
}

/**
 * The ladder for one fault. `pageGone`: the host's tab no longer exists, so only another host can help.
 * `hostDropped`: its keeper has thrown the frame away; a host that fell silent or lost its device is replaced, not asked.
 * Empty: nothing that the strategy may do can help.
 */
export function ladderFor(
  level: FaultToleranceLevel,
  strategy: RecoveryStrategy,
  fault: { readonly category: ErrorCategory; readonly pageGone: boolean; readonly hostDropped: boolean },
): Ladder {
  const ladder = rungsOf(level, strategy, fault.category);
  const helpful = without(ladder, (step) => {
    if (step === "reconnect") return fault.pageGone || fault.hostDropped;
    return step === "restart" && fault.pageGone;
  });
  // A tab that was closed cannot be restarted where it was; restarting it means opening it anew.
  return helpful.length > 0 || !ladder.some((rung) => rung.includes("restart")) ? helpful : [["failover"]];
}

/** What two rungs are left with in common is tried once. */
function without(ladder: Ladder, isOut: (step: RecoveryStep) => boolean): Ladder {
  const left = ladder.map((rung) => rung.filter((step) => !isOut(step))).filter((rung) => rung.length > 0);
  return left.filter((rung, at) => rung.join() !== left[at - 1]?.join());
}

import type { ErrorCategory } from "../base/errors.ts";
import { type FaultToleranceLevel, LEVELS, type RecoveryStep, type RecoveryStrategy } from "./levels.ts";

/** The steps each strategy tries, in order. Null: this version refuses the strategy with a typed error. */
const STRATEGY_STEPS: Readonly<Record<RecoveryStrategy, readonly RecoveryStep[] | null>> = {
  restart: ["restart"],
  reconnect: ["reconnect"],
  failover: ["failover"],
  progressive: ["reconnect", "restart", "failover"],
  parallel: null,
  coordinated: null,
};

/** Reconnecting helps only where the host itself may be well. */
const RECONNECT_HELPS: readonly ErrorCategory[] = ["CONNECTION", "TIMEOUT"];

/** The strategies that leave a level at least one step. */
export function strategiesOf(level: FaultToleranceLevel): RecoveryStrategy[] {
  return (Object.keys(STRATEGY_STEPS) as RecoveryStrategy[]).filter((strategy) => stepsOf(level, strategy).length > 0);
}

export function stepsOf(level: FaultToleranceLevel, strategy: RecoveryStrategy): readonly RecoveryStep[] {
  return (STRATEGY_STEPS[strategy] ?? []).filter((step) => LEVELS[level].steps.includes(step));
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
): readonly RecoveryStep[] {
  // Level none has no ladder: the run fails, and the host is replaced before the next one.
  const steps: readonly RecoveryStep[] = level === "none" ? ["restart", "failover"] : stepsOf(level, strategy);
  const helpful = steps.filter((step) => {
    if (step === "reconnect") return RECONNECT_HELPS.includes(fault.category) && !fault.pageGone && !fault.hostDropped;
    return step !== "restart" || !fault.pageGone;
  });
  // A tab that was closed cannot be restarted where it was; restarting it means opening it anew.
  return helpful.length > 0 || !steps.includes("restart") ? helpful : ["failover"];
}

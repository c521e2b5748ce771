import { ERROR_CATEGORIES, type ErrorCategory } from "../../../src/base/errors.ts";
import type { Ladder } from "../../../src/fault/ladder.ts";
import {
  FAULT_TOLERANCE_LEVELS,
  type FaultToleranceLevel,
  RECOVERY_STRATEGIES,
  type RecoveryStrategy,
} from "../../../src/fault/levels.ts";

/** What each strategy tries at levels medium and above, written out: after a fault that the host may have come through, and after others. */
const REACHABLE: Readonly<Record<RecoveryStrategy, Ladder>> = {
  restart: [["restart"]],
  reconnect: [["reconnect"]],
  failover: [["failover"]],
  progressive: [["reconnect"], ["restart"], ["failover"]],
  parallel: [
    ["reconnect", "failover"],
    ["restart", "failover"],
  ],
  coordinated: [["reconnect"], ["restart"], ["failover"]],
};
const DEAD: Readonly<Record<RecoveryStrategy, Ladder>> = {
  restart: [["restart"]],
  reconnect: [],
  failover: [["failover"]],
  progressive: [["restart"], ["failover"]],
  parallel: [["restart", "failover"]],
  coordinated: [["restart"], ["failover"]],
};
const LOW_REACHABLE: Readonly<Record<RecoveryStrategy, Ladder>> = {
  restart: [["restart"]],
  reconnect: [["reconnect"]],
  failover: [],
  progressive: [["reconnect"], ["restart"]],
  parallel: [["reconnect"], ["restart"]],
  coordinated: [],
};
const LOW_DEAD: Readonly<Record<RecoveryStrategy, Ladder>> = {
  restart: [["restart"]],
  reconnect: [],
  failover: [],
  progressive: [["restart"]],
  parallel: [["restart"]],
  coordinated: [],
};

export function isReachable(category: ErrorCategory): boolean {
  return category === "CONNECTION" || category === "TIMEOUT";
}

/** One row of strategy × category × level. */
export function ladderOf(level: FaultToleranceLevel, strategy: RecoveryStrategy, category: ErrorCategory): Ladder {
  if (level === "none") return [["restart"], ["failover"]];
  if (level === "low") return (isReachable(category) ? LOW_REACHABLE : LOW_DEAD)[strategy];
  return (isReachable(category) ? REACHABLE : DEAD)[strategy];
}

export function allowed(level: FaultToleranceLevel): readonly RecoveryStrategy[] {
  return level === "low" ? ["restart", "reconnect", "progressive", "parallel"] : RECOVERY_STRATEGIES;
}

export const PAIRS = FAULT_TOLERANCE_LEVELS.flatMap((level) =>
  RECOVERY_STRATEGIES.map((strategy) => [level, strategy] as const),
);
export const CASES = PAIRS.flatMap(([level, strategy]) =>
  ERROR_CATEGORIES.map((category) => [level, strategy, category] as const),
);

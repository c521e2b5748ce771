import { describe, expect, it } from "vitest";
import { ERROR_CATEGORIES, type ErrorCategory } from "../../../src/base/errors.ts";
import { ladderFor, stepsOf, strategiesOf } from "../../../src/fault/ladder.ts";
import {
  FAULT_TOLERANCE_LEVELS,
  type FaultToleranceLevel,
  LEVELS,
  RECOVERY_STRATEGIES,
  type RecoveryStep,
  type RecoveryStrategy,
} from "../../../src/fault/levels.ts";

const REACHABLE: readonly ErrorCategory[] = ["CONNECTION", "TIMEOUT"];

const FULL: Readonly<Record<RecoveryStrategy, readonly RecoveryStep[]>> = {
  restart: ["restart"],
  reconnect: ["reconnect"],
  failover: ["failover"],
  progressive: ["reconnect", "restart", "failover"],
  parallel: [],
  coordinated: [],
};
const STEPS: Readonly<Record<FaultToleranceLevel, Readonly<Record<RecoveryStrategy, readonly RecoveryStep[]>>>> = {
  none: { restart: [], reconnect: [], failover: [], progressive: [], parallel: [], coordinated: [] },
  low: { ...FULL, failover: [], progressive: ["reconnect", "restart"] },
  medium: FULL,
  high: FULL,
  critical: FULL,
};

const PAIRS = FAULT_TOLERANCE_LEVELS.flatMap((level) =>
  RECOVERY_STRATEGIES.map((strategy) => [level, strategy] as const),
);
const CASES = PAIRS.flatMap(([level, strategy]) =>
  ERROR_CATEGORIES.map((category) => [level, strategy, category] as const),
);

describe("the steps of a strategy", () => {
  it.each(PAIRS)("at level %s, strategy %s", (level, strategy) => {
    expect(stepsOf(level, strategy)).toEqual(STEPS[level][strategy]);
    expect(strategiesOf(level).includes(strategy)).toBe(STEPS[level][strategy].length > 0);
  });
});

describe("the ladder for a fault", () => {
  it.each(CASES)("at level %s, strategy %s, category %s, with its tab there", (level, strategy, category) => {
    const steps: readonly RecoveryStep[] = level === "none" ? ["restart", "failover"] : STEPS[level][strategy];
    const expected = steps.filter((step) => step !== "reconnect" || REACHABLE.includes(category));
    expect(ladderFor(level, strategy, { category, pageGone: false, hostDropped: false })).toEqual(expected);
  });

  it.each(CASES)(
    "at level %s, strategy %s, category %s, never asks a host that was thrown away",
    (level, strategy, category) => {
      expect(ladderFor(level, strategy, { category, pageGone: false, hostDropped: true })).not.toContain("reconnect");
    },
  );

  it.each(CASES)(
    "at level %s, strategy %s, category %s, opens a new tab where the old one is gone",
    (level, strategy, category) => {
      const steps: readonly RecoveryStep[] = level === "none" ? ["restart", "failover"] : STEPS[level][strategy];
      const opens = steps.includes("restart") || steps.includes("failover");
      expect(ladderFor(level, strategy, { category, pageGone: true, hostDropped: false })).toEqual(
        opens ? ["failover"] : [],
      );
    },
  );

  it.each(CASES)("at level %s, strategy %s, category %s, ends when nothing can help", (level, strategy, category) => {
    const helpless = level !== "none" && strategy === "reconnect" && !REACHABLE.includes(category);
    const empty = ladderFor(level, strategy, { category, pageGone: false, hostDropped: false }).length === 0;
    expect(empty).toBe(helpless || (level !== "none" && STEPS[level][strategy].length === 0));
  });
});

describe("the levels", () => {
  it("promise more the higher they are", () => {
    const promises = FAULT_TOLERANCE_LEVELS.map(
      (level) => Number(LEVELS[level].transparent) + Number(LEVELS[level].keepsState) + LEVELS[level].steps.length,
    );
    expect(promises).toEqual([...promises].sort((a, b) => a - b));
  });
});

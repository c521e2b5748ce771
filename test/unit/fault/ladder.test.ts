import { describe, expect, it } from "vitest";
import { ERROR_CATEGORIES, type ErrorCategory } from "../../../src/base/errors.ts";
import { isCoordinated, type Ladder, ladderFor, leavesSteps, strategiesOf } from "../../../src/fault/ladder.ts";
import { FAULT_TOLERANCE_LEVELS, LEVELS, RECOVERY_STRATEGIES } from "../../../src/fault/levels.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import { allowed, CASES, isReachable, ladderOf, PAIRS } from "./strategy-table.ts";

const HERE = { pageGone: false, hostDropped: false };

describe("the ladder for a fault", () => {
  it.each(CASES)("at level %s, strategy %s, category %s, with its tab there", (level, strategy, category) => {
    expect(ladderFor(level, strategy, { category, ...HERE })).toEqual(ladderOf(level, strategy, category));
  });

  it.each(CASES)(
    "at level %s, strategy %s, category %s, never asks a host that was thrown away",
    (level, strategy, category) => {
      const ladder = ladderFor(level, strategy, { category, pageGone: false, hostDropped: true });
      expect(ladder.flat()).not.toContain("reconnect");
    },
  );

  it.each(CASES)(
    "at level %s, strategy %s, category %s, opens a new tab where the old one is gone",
    (level, strategy, category) => {
      const steps = ladderOf(level, strategy, category).flat();
      const opens = steps.includes("restart") || steps.includes("failover");
      expect(ladderFor(level, strategy, { category, pageGone: true, hostDropped: false })).toEqual(
        opens ? [["failover"]] : [],
      );
    },
  );

  it("after a fault that took the frame is tried with what is left, each of it once", () => {
    const dropped = { category: "TIMEOUT", pageGone: false, hostDropped: true } as const;
    const expected: Ladder = [["restart", "failover"]];
    expect(ladderFor("medium", "parallel", { ...dropped, pageGone: false })).toEqual([["failover"], ...expected]);
    expect(ladderFor("low", "parallel", dropped)).toEqual([["restart"]]);
  });
});

describe("a pair of level and strategy", () => {
  it.each(PAIRS)("%s and %s is refused if it leaves no step, with what may be asked for instead", (level, strategy) => {
    const options = { faultToleranceLevel: level, recoveryStrategy: strategy };
    expect(leavesSteps(level, strategy)).toBe(allowed(level).includes(strategy));
    if (allowed(level).includes(strategy)) expect(parseSessionOptions(options)).toMatchObject(options);
    else {
      const list = allowed(level).join(", ");
      expect(() => parseSessionOptions(options)).toThrow(
        `Level ${level} leaves no step to strategy ${strategy}; use ${list}.`,
      );
    }
  });
  it("at level low is refused with failover and with coordinated, and no others are", () => {
    const refused = PAIRS.filter(([level, strategy]) => !leavesSteps(level, strategy));
    expect(refused).toEqual([
      ["low", "failover"],
      ["low", "coordinated"],
    ]);
    expect(strategiesOf("medium")).toEqual(RECOVERY_STRATEGIES);
  });
  it("holds all stages together under coordinated alone", () => {
    const together = PAIRS.filter(([level, strategy]) => isCoordinated(level, strategy));
    expect(together.map(([level, strategy]) => `${level} ${strategy}`)).toEqual(
      ["medium", "high", "critical"].map((level) => `${level} coordinated`),
    );
  });
  it("may leave a category without a step: reconnecting brings no dead host back", () => {
    const helpless = ERROR_CATEGORIES.filter((category: ErrorCategory) => !isReachable(category));
    for (const category of helpless) expect(ladderFor("medium", "reconnect", { category, ...HERE })).toEqual([]);
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

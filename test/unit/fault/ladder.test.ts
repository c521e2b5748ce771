import { describe, expect, it } from "vitest";
import { ERROR_CATEGORIES } from "../../../src/base/errors.ts";
import { ladderFor, stepsOf, strategiesOf } from "../../../src/fault/ladder.ts";
import {
  FAULT_TOLERANCE_LEVELS,
  LEVELS,
  RECOVERY_STRATEGIES,
  type RecoveryStep,
  type RecoveryStrategy,
} from "../../../src/fault/levels.ts";

const SEEN = { pageGone: false, hostDropped: false };
const all = FAULT_TOLERANCE_LEVELS.flatMap((level) =>
  RECOVERY_STRATEGIES.flatMap((strategy) => ERROR_CATEGORIES.map((category) => ({ level, strategy, category }))),
);

describe("the steps of a strategy at level medium", () => {
  const STEPS: Readonly<Record<RecoveryStrategy, readonly RecoveryStep[]>> = {
    restart: ["restart"],
    reconnect: ["reconnect"],
    failover: ["failover"],
    progressive: ["reconnect", "restart", "failover"],
    parallel: [],
    coordinated: [],
  };
  it.each(RECOVERY_STRATEGIES)("%s", (strategy) => {
    expect(stepsOf("medium", strategy)).toEqual(STEPS[strategy]);
  });
  it("level low has no second host to fail over to", () => {
    expect(stepsOf("low", "failover")).toEqual([]);
    expect(stepsOf("low", "progressive")).toEqual(["reconnect", "restart"]);
    expect(strategiesOf("low")).toEqual(["restart", "reconnect", "progressive"]);
  });
});

describe.each(all)("$level, $strategy, $category", ({ level, strategy, category }) => {
  const ladder = (seen: { pageGone: boolean; hostDropped: boolean }) =>
    ladderFor(level, strategy, { category, ...seen });

  it("tries only steps that the level allows and the strategy has, each once", () => {
    const steps = ladder(SEEN);
    const allowed = level === "none" ? ["restart", "failover"] : LEVELS[level].steps;
    expect(steps.filter((step) => !allowed.includes(step))).toEqual([]);
    expect(new Set(steps).size).toBe(steps.length);
  });
  it("reconnects only where the host itself may be well", () => {
    const mayBeWell = category === "CONNECTION" || category === "TIMEOUT";
    expect(ladder(SEEN).includes("reconnect")).toBe(mayBeWell && stepsOf(level, strategy).includes("reconnect"));
    expect(ladder({ pageGone: false, hostDropped: true })).not.toContain("reconnect");
    expect(ladder({ pageGone: true, hostDropped: true })).not.toContain("reconnect");
  });
  it("never restarts in a page that is gone; what may restart opens another host then", () => {
    const gone = ladder({ pageGone: true, hostDropped: true });
    expect(gone).not.toContain("restart");
    if (ladder(SEEN).includes("restart")) expect(gone).toEqual(["failover"]);
  });
  it("leaves something to try wherever the strategy may restart or fail over", () => {
    const steps = level === "none" ? ["restart"] : stepsOf(level, strategy);
    const mayReplace = steps.includes("restart") || steps.includes("failover");
    for (const pageGone of [false, true]) expect(ladder({ pageGone, hostDropped: true }).length > 0).toBe(mayReplace);
  });
});

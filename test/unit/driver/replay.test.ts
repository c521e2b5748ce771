import { describe, expect, it } from "vitest";
import { commonCheckpoint, planReplay, type ReplayInput, type ReplayPlan } from "../../../src/driver/replay.ts";
import { Random } from "../random.ts";

const stages = (...runs: readonly (number | null)[]) => runs.map((run) => ({ run, stored: [] }));

describe("what is sent again", () => {
  it.each<[string, ReplayInput, ReplayPlan]>([
    [
      "nothing where all are level",
      { statuses: stages(9, 9, 9), safe: 4, acked: 9, restoreAll: false },
      { restore: [], resendFrom: [10, 10, 10], feedsFrom: 10 },
    ],
    [
      "the last stage's answers that the page has not",
      { statuses: stages(9, 9, 9), safe: 4, acked: 7, restoreAll: false },
      { restore: [], resendFrom: [10, 10, 8], feedsFrom: 10 },
    ],
    [
      "its neighbour's outputs to a stage that was lost in the middle",
      { statuses: stages(9, null, 8), safe: 4, acked: 8, restoreAll: false },
      { restore: [1], resendFrom: [5, 9, 9], feedsFrom: 10 },
    ],
    [
      "feeds to all, where the outputs that a lost stage needs are not kept any more",
      { statuses: [{ run: 9, dropped: 6 }, { run: null }, { run: 8 }], safe: 4, acked: 8, restoreAll: false },
      { restore: [0, 1], resendFrom: [5, 9, 9], feedsFrom: 5 },
    ],
    [
      "feeds to a first stage that was lost",
      { statuses: stages(null, 9), safe: 4, acked: 9, restoreAll: false },
      { restore: [0], resendFrom: [10, 10], feedsFrom: 5 },
    ],
    [
      "everything from further upstream where neighbours were lost together",
      { statuses: stages(9, null, null), safe: 4, acked: 6, restoreAll: false },
      { restore: [1, 2], resendFrom: [5, 5, 7], feedsFrom: 10 },
    ],
    [
      "all after the safe run where outputs are not kept",
      { statuses: stages(9, 8, null), safe: 6, acked: 6, restoreAll: true },
      { restore: [0, 1, 2], resendFrom: [7, 7, 7], feedsFrom: 7 },
    ],
    [
      "all where all were lost before anything was safe",
      { statuses: stages(null, null), safe: -1, acked: -1, restoreAll: false },
      { restore: [0, 1], resendFrom: [0, 0], feedsFrom: 0 },
    ],
    [
      "what lies after the safe run to a stage that stands before it",
      { statuses: stages(9, 2), safe: 4, acked: 9, restoreAll: false },
      { restore: [1], resendFrom: [5, 10], feedsFrom: 10 },
    ],
  ])("is %s", (_, input, plan) => {
    expect(planReplay(input)).toEqual(plan);
  });

  it("leaves no stage without a run it lacks, and asks no stage for outputs it cannot have", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed);
      const safe = random.below(8) - 1;
      const statuses = stages(
        ...Array.from({ length: 1 + random.below(5) }, () => (random.chance(0.3) ? null : random.below(14) - 1)),
      );
      const { restore, resendFrom, feedsFrom } = planReplay({
        statuses,
        safe,
        acked: safe + random.below(3),
        restoreAll: random.chance(0.2),
      });
      const at = statuses.map(({ run }, stage) => (restore.includes(stage) ? safe : run));
      for (const [stage, run] of at.entries()) {
        expect(run, `seed ${seed}`).not.toBeNull();
        expect(run as number, `seed ${seed}`).toBeGreaterThanOrEqual(safe);
        const comesFrom = stage === 0 ? feedsFrom : resendFrom[stage - 1];
        expect(comesFrom, `seed ${seed}`).toBe((run as number) + 1);
      }
    }
  });
});

describe("the last run that all stages stored", () => {
  it.each<[string, readonly (readonly number[])[], number, number]>([
    [
      "is in every list",
      [
        [0, 16, 32],
        [0, 16],
        [0, 16, 32],
      ],
      99,
      16,
    ],
    [
      "is not after the limit",
      [
        [0, 16, 32],
        [0, 16, 32],
      ],
      20,
      16,
    ],
    [
      "may be the limit",
      [
        [0, 16],
        [0, 16],
      ],
      16,
      16,
    ],
    ["is none where one stage stored nothing", [[0, 16], []], 99, -1],
    ["is none where no two agree", [[0], [16]], 99, -1],
    ["is none without stages", [], 99, -1],
    [
      "does not depend on an order",
      [
        [32, 0, 16],
        [16, 32, 0],
      ],
      99,
      32,
    ],
  ])("%s", (_, stored, limit, expected) => {
    expect(
      commonCheckpoint(
        stored.map((runs) => new Set(runs)),
        limit,
      ),
    ).toBe(expected);
  });
});

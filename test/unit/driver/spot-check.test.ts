import { describe, expect, it } from "vitest";
import { SpotChecks } from "../../../src/driver/spot-check.ts";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

const HISTORIES = 6;

describe.each([1, 2])(
  "a session at level high with spot checks in %i stages gives the undisturbed outputs",
  (stages) => {
    const play = async (first: number, options: Omit<Parameters<typeof playHistory>[1], "stages">): Promise<void> => {
      for (let seed = first; seed < first + HISTORIES; seed++)
        await playHistory(seed * 10 + stages, { stages, level: "high", spotCheck: 0.3, ...options });
    };

    it("when nothing happens, and nobody is outvoted", async () => {
      const world = await playHistory(1, { stages, level: "high", spotCheck: 0.3, kills: 0 });
      expect(world.outvoted).toEqual([]);
    });
    it("when hosts die, checkers among them", () => play(200, { kills: 4, duplicates: 0.05 }));
    it("when the bridge dies", () => play(300, { kills: 2, bridgeLosses: 2, poolLosses: 1 }));
    it("when runs fail on their own account", () => play(400, { kills: 1, badId: BAD_ID }));
    it("of a model without state", () => play(500, { kills: 2, stateful: false }));
    it("from every state that a handle keeps", () => play(600, { kills: 1, branches: true }));
  },
);

describe("where every run is checked", () => {
  const open = async (): Promise<{ world: World; reference: Reference }> => {
    const world = new World(5, { stages: 2, level: "high", spotCheck: 1 });
    await world.open();
    return { world, reference: new Reference(2) };
  };
  const run = async (
    { world, reference }: Awaited<ReturnType<typeof open>>,
    from: number,
    to: number,
  ): Promise<void> => {
    for (let at = from; at < to; at++)
      expect(await world.run([at % 11], at === 0)).toEqual(reference.run([at % 11], at === 0));
  };

  it.each(["output", "rows"] as const)(
    "a stage that lies is replaced, and goes on from before its lie: %s",
    async (lie) => {
      const setting = await open();
      const { world } = setting;
      await run(setting, 0, 10);
      Object.assign(world.hosts[1] ?? {}, { lie });
      await run(setting, 10, 20);
      expect(world.outvoted).toEqual([{ row: 1, run: 10 }]);
      world.close();
    },
  );

  it.each(["output", "rows"] as const)(
    "a checker that lies is found out by the next host of the stage: %s",
    async (lie) => {
      const setting = await open();
      const { world } = setting;
      await run(setting, 0, 10);
      Object.assign(world.hosts[3] ?? {}, { lie });
      await run(setting, 10, 20);
      // Nobody could tell which of them it was; the third was right, and so was the first.
      expect(world.outvoted[0]).toEqual({ row: 1, run: 10 });
      world.close();
    },
  );

  it("one that lies again and again ends in VOTE_SPLIT, not in a guess", async () => {
    const setting = await open();
    const { world } = setting;
    await run(setting, 0, 5);
    world.liesAlways = 1;
    await expect(world.run([7], false)).rejects.toMatchObject({ code: "VOTE_SPLIT" });
    world.close();
  });
});

it("which runs are checked is chance, and the same whoever asks", () => {
  const checks = new SpotChecks(0.25, "session", true);
  const runs = Array.from({ length: 10_000 }, (_, run) => run).filter((run) => checks.has(run));
  expect(runs.length).toBeGreaterThan(2_300);
  expect(runs.length).toBeLessThan(2_700);
  expect(runs.filter((run) => !new SpotChecks(0.25, "session", true).has(run))).toEqual([]);
  expect(runs.filter((run) => new SpotChecks(0.25, "another", true).has(run)).length).toBeLessThan(1_000);
  expect(new SpotChecks(1, "session", true).has(-1)).toBe(false);
});

import { describe, expect, it } from "vitest";
import type { RecoveryStrategy } from "../../../src/fault/levels.ts";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

const HISTORIES = 6;

/** A session in three stages that loses the second of them after 40 runs, and makes 10 more. */
async function loseSecond(strategy: RecoveryStrategy): Promise<World> {
  const world = new World(5, { stages: 3, strategy });
  const reference = new Reference(3);
  await world.open();
  const run = async (id: number, reset = false): Promise<void> => {
    expect(await world.run([id % 11], reset)).toEqual(reference.run([id % 11], reset));
  };
  await run(0, true);
  for (let id = 1; id < 40; id++) await run(id);
  for (const host of world.hosts) host.restored.length = 0;
  await world.kill(1);
  for (let id = 40; id < 50; id++) await run(id);
  world.close();
  return world;
}

describe("strategy coordinated", () => {
  it("holds all stages of the session, puts them back to one run, and they go on together", async () => {
    const { hosts } = await loseSecond("coordinated");
    expect(hosts.map(({ restored }) => restored.length)).toEqual([1, 1, 1]);
    expect(new Set(hosts.flatMap(({ restored }) => restored)).size).toBe(1);
    expect([hosts[0]?.holds, hosts[2]?.holds]).toEqual([1, 1]);
  });
  it("is what progressive is not: there the lost stage alone is put back", async () => {
    const { hosts } = await loseSecond("progressive");
    expect(hosts.map(({ restored }) => restored.length)).toEqual([0, 1, 0]);
    expect(hosts.map(({ holds }) => holds)).toEqual([0, 0, 0]);
  });
  it("resumes when the last of the stages is there: at level critical no majority goes on alone", async () => {
    const world = new World(6, { stages: 2, level: "critical", strategy: "coordinated" });
    await world.open();
    await world.run([1], true);
    for (const host of world.hosts) host.restored.length = 0;
    await world.kill(5);
    await world.run([2], false);
    expect(world.hosts.map(({ restored }) => restored.length)).toEqual([1, 1, 1, 1, 1, 1]);
    world.close();
  });
});

describe.each(["medium", "high", "critical"] as const)(
  "coordinated at level %s gives the undisturbed outputs",
  (level) => {
    const play = async (first: number, options: Omit<Parameters<typeof playHistory>[1], "stages">): Promise<void> => {
      for (let seed = first; seed < first + HISTORIES; seed++)
        await playHistory(seed, { stages: 1 + (seed % 3), level, strategy: "coordinated", ...options });
    };

    it("when hosts die", () => play(100, { kills: 4, duplicates: 0.05 }));
    it("when bridge and pool die as well", () => play(200, { kills: 3, bridgeLosses: 2, poolLosses: 1 }));
    it("when runs fail on their own account", () => play(300, { kills: 2, badId: BAD_ID }));
    it("when the model keeps nothing", () => play(400, { kills: 3, stateful: false }));
    it("from every state that a handle keeps", () => play(500, { kills: 2, branches: true }));
  },
);

import { describe, expect, it } from "vitest";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

const HISTORIES = 6;

describe.each([1, 2, 3])("a session at level critical in %i stages gives the undisturbed outputs", (stages) => {
  const play = async (first: number, options: Omit<Parameters<typeof playHistory>[1], "stages">): Promise<void> => {
    for (let seed = first; seed < first + HISTORIES; seed++)
      await playHistory(seed * 10 + stages, { stages, level: "critical", ...options });
  };

  it("when nothing happens, and nobody is outvoted", async () => {
    const world = await playHistory(1, { stages, level: "critical", kills: 0 });
    expect(world.events.filter(({ type }) => type === "fault")).toEqual([]);
    expect(world.outvoted).toEqual([]);
  });
  it("when messages come twice", () => play(100, { kills: 0, duplicates: 0.2 }));
  it("when hosts die", () => play(200, { kills: 4, duplicates: 0.05 }));
  it("when a host lies", () => play(300, { kills: 0, lies: 1 }));
  it("when a host lies and others die", () => play(400, { kills: 2, lies: 1, poolLosses: 1 }));
  it("when the bridge dies", () => play(500, { kills: 2, bridgeLosses: 3, poolLosses: 1 }));
  it("when runs fail on their own account", () => play(600, { kills: 1, badId: BAD_ID }));
  it("from every state that a handle keeps", () => play(700, { kills: 2, lies: 1, branches: true }));
});

describe("a host that lies", () => {
  it.each(["output", "rows"] as const)("is outvoted, told of and replaced: %s", async (lie) => {
    const world = new World(7, { stages: 2, level: "critical" });
    const reference = new Reference(2);
    await world.open();
    for (let run = 0; run < 40; run++) {
      const host = world.hosts[3];
      if (run === 20 && host !== undefined) host.lie = lie;
      expect(await world.run([run % 11], run === 0)).toEqual(reference.run([run % 11], run === 0));
    }
    expect(world.outvoted).toEqual([{ row: 3, run: 20 }]);
    expect(world.events).toContainEqual(expect.objectContaining({ type: "fault", stage: 3 }));
    // What it had stored of its lie is not what its successor goes on from.
    await world.kill(3);
    await world.kill(1);
    for (let run = 40; run < 60; run++)
      expect(await world.run([run % 11], false)).toEqual(reference.run([run % 11], false));
    expect(world.outvoted).toHaveLength(1);
    world.close();
  });
});

import { afterEach, describe, expect, it } from "vitest";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World, type WorldOptions } from "./world/world.ts";

const HISTORIES = 8;
const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

async function opened(options: WorldOptions): Promise<World> {
  const world = new World(1, options);
  worlds.push(world);
  await world.open();
  return world;
}

describe.each([1, 2, 3])("stages of %i move to other hosts and the outputs are the undisturbed ones", (stages) => {
  const play = async (first: number, options: Omit<Parameters<typeof playHistory>[1], "stages">): Promise<void> => {
    for (let seed = first; seed < first + HISTORIES; seed++)
      await playHistory(seed * 10 + stages, { stages, ...options });
  };

  it("when nothing else happens", () => play(3_000, { kills: 0, moves: 4 }));
  it("at level none, which keeps no state else, and no run fails", () =>
    play(3_100, { level: "none", kills: 0, moves: 4, duplicates: 0.05 }));
  it("at level low, from kept states too", () => play(3_200, { level: "low", kills: 0, moves: 3, branches: true }));
  it("without state", () => play(3_300, { stateful: false, kills: 0, moves: 4 }));
  it("when hosts die as well", () => play(3_400, { kills: 2, moves: 3, duplicates: 0.05 }));
  it("when bridges and service workers die as well", () =>
    play(3_500, { kills: 1, moves: 3, bridgeLosses: 2, poolLosses: 2, branches: true }));
  it("when runs fail on their own account", () => play(3_600, { kills: 0, moves: 4, badId: BAD_ID }));
  it("at level none when hosts die, or says that they are lost", () =>
    play(3_700, { level: "none", kills: 2, moves: 3, poolLosses: 1, mayFail: ["HOST_LOST", "STATE_LOST"] }));
  it(
    "when checkpoints cannot be stored now and then",
    () => play(3_800, { kills: 0, moves: 3, failedWrites: 0.05 }),
    60_000,
  );
});

describe.each(["none", "medium"] as const)("a planned move at level %s", (level) => {
  it("does nothing twice and loses no run, in the middle of a generation and of runs one after the other", async () => {
    const world = await opened({ stages: 2, level });
    const reference = new Reference(2);
    const ids: number[] = [];
    for await (const { index, id } of world.session.generate([1, 2, 3], { maxNewTokens: 40 })) {
      expect(index).toBe(ids.length);
      ids.push(id);
      if (index === 10) expect(await world.move(0)).toBe(true);
      if (index === 20) expect(await world.move(1)).toBe(true);
    }
    expect(ids).toEqual(reference.generate([1, 2, 3], 40));
    const answers = Array.from({ length: 12 }, (_, at) => world.run([at % 4], at === 0));
    expect(await world.move(0)).toBe(true);
    for (const [at, answer] of answers.entries()) expect(await answer).toEqual(reference.run([at % 4], at === 0));
    // One of the prompt and one of each token but the last; and the runs.
    expect(world.executed).toBe(2 * (40 + 12));
    expect(world.events.filter(({ type }) => type === "fault")).toEqual([]);
  });
  it("that comes to nothing leaves the session with the hosts it has", async () => {
    const world = await opened({ stages: 2, level });
    const reference = new Reference(2);
    expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
    expect(await world.move(0, async () => false)).toBe(false);
    expect(await world.run([3], false)).toEqual(reference.run([3], false));
    expect(world.executed).toBe(4);
  });
});

it("a host that dies while the session stands still is recovered from what was stored", async () => {
  const world = await opened({ stages: 2 });
  const reference = new Reference(2);
  expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
  const moved = world.move(1, async () => {
    await world.kill(0);
    return true;
  });
  expect(await world.run([3], false)).toEqual(reference.run([3], false));
  await moved;
  expect(await world.run([4], false)).toEqual(reference.run([4], false));
});

import { describe, expect, it, vi } from "vitest";
import type { FakeHost } from "./world/fake-host.ts";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

/** Each history has its own seed; a failure names it, and `playHistory(seed, options)` plays it again. */
const HISTORIES = 8;

describe.each([1, 2, 3, 4])("a session in %i stages gives the undisturbed outputs", (stages) => {
  const play = async (first: number, options: Omit<Parameters<typeof playHistory>[1], "stages">): Promise<void> => {
    for (let seed = first; seed < first + HISTORIES; seed++)
      await playHistory(seed * 10 + stages, { stages, ...options });
  };

  it("when nothing happens", async () => {
    const world = await playHistory(1, { stages, kills: 0 });
    expect(world.events.filter(({ type }) => type === "fault")).toEqual([]);
  });
  it("when messages come twice", () => play(100, { kills: 0, duplicates: 0.2 }));
  it("when hosts die", () => play(200, { kills: 3, duplicates: 0.05 }));
  it("when the service worker dies", () => play(300, { kills: 1, poolLosses: 4 }));
  it("when the bridge dies", () => play(400, { kills: 0, bridgeLosses: 3 }));
  it("when everything dies", () => play(500, { kills: 3, bridgeLosses: 2, poolLosses: 2, duplicates: 0.1 }));
  it("when runs fail on their own account", () => play(600, { kills: 0, badId: BAD_ID }));
  it("when runs fail and hosts die", () => play(700, { kills: 2, poolLosses: 1, badId: BAD_ID }));
  it("when runs fail and the bridge dies", () => play(800, { kills: 1, bridgeLosses: 3, badId: BAD_ID }));
  it("at level low, without state, when hosts die", () =>
    play(900, { level: "low", stateful: false, kills: 3, poolLosses: 1, duplicates: 0.05 }));
  it("at level low, with state, or says that it is lost", () =>
    play(1_000, { level: "low", kills: 3, poolLosses: 1, mayFail: ["STATE_LOST"] }));
  it("at level none, without state, or says that the host is lost", () =>
    play(1_100, { level: "none", stateful: false, kills: 3, poolLosses: 1, mayFail: ["HOST_LOST"] }));
  it("at level none, with state, or says that it is lost", () =>
    play(1_200, { level: "none", kills: 3, duplicates: 0.05, mayFail: ["HOST_LOST", "STATE_LOST"] }));
  it("at levels that keep no state, when the bridge dies", async () => {
    await play(1_300, { level: "low", stateful: false, kills: 1, bridgeLosses: 2 });
    await play(1_400, { level: "none", kills: 1, bridgeLosses: 2, mayFail: ["HOST_LOST", "STATE_LOST"] });
  });
  it("when restores are not answered", () =>
    play(1_600, { kills: 3, lostRestores: 0.3, duplicates: 0.05, limits: { arrivalMs: 1_000, answerMs: 60 } }));
  it("from every state that a handle keeps", () => play(1_700, { kills: 0, branches: true }));
  it("from every state that a handle keeps, when everything dies", () =>
    play(1_800, { kills: 3, bridgeLosses: 2, poolLosses: 1, duplicates: 0.1, branches: true }));
  it("from every state that a handle keeps, when runs fail and hosts die", () =>
    play(1_900, { kills: 2, bridgeLosses: 1, badId: BAD_ID, branches: true }));
  it("from kept states at level low, or says that they are lost", () =>
    play(2_000, { level: "low", kills: 2, branches: true, mayFail: ["STATE_LOST"] }));
  it(
    "when some checkpoints cannot be stored, and hosts and bridges die",
    () => play(1_500, { kills: 1, bridgeLosses: 2, failedWrites: 0.03, branches: true }),
    60_000,
  );
});

it("ports that a dying service worker took with it are made anew", async () => {
  const world = new World(1, { stages: 2 });
  const reference = new Reference(2);
  await world.open();
  expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
  world.losingPorts = true;
  await world.kill(1);
  setTimeout(() => {
    world.losingPorts = false;
  }, 200);
  expect(await world.run([3], false)).toEqual(reference.run([3], false));
  world.close();
});

describe("a host that is there and takes no ports", () => {
  const limits = { arrivalMs: 50, answerMs: 60_000 };

  it("is told to the pool after some wirings in a row, and the run goes on with the next", async () => {
    const world = new World(1, { stages: 3, limits });
    const reference = new Reference(3);
    await world.open();
    expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
    // Frozen with its page: what it has goes on in this world, but a recovery of another stage cannot reach it.
    (world.hosts[0] as FakeHost).deaf = true;
    await world.kill(2);
    expect(await world.run([3], false)).toEqual(reference.run([3], false));
    expect(world.reports.filter((name) => name === "unreachable")).toHaveLength(1);
    const recovered = () => world.events.flatMap((event) => (event.type === "recovered" ? [event.stage] : []));
    await vi.waitFor(() => expect(recovered().sort()).toEqual([0, 2]));
    world.close();
  });

  it("but is well, as the pool finds, is waited for", async () => {
    const world = new World(2, { stages: 2, limits });
    const reference = new Reference(2);
    await world.open();
    expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
    // Nobody looks after a host that is well: the ports are lost between them.
    world.losingPorts = true;
    await world.kill(1);
    setTimeout(() => {
      world.losingPorts = false;
    }, 10 * limits.arrivalMs);
    expect(await world.run([3], false)).toEqual(reference.run([3], false));
    expect(world.reports).toContain("unreachable");
    expect(world.events.filter(({ type }) => type === "fault")).toHaveLength(1);
    world.close();
  });
});

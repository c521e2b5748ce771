import { afterEach, describe, expect, it, vi } from "vitest";
import { CHECKPOINT_EVERY_RUNS, REPLAY_RUNS_MAX } from "../../../src/base/limits.ts";
import { Reference } from "./world/model.ts";
import { World, type WorldOptions } from "./world/world.ts";

const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

async function opened(seed: number, options: Partial<WorldOptions> = {}) {
  const world = new World(seed, { stages: 2, ...options });
  worlds.push(world);
  await world.open();
  const reference = new Reference(world.hosts.length);
  let next = 0;
  /** So many runs, each held against the undisturbed model. */
  const runs = async (count: number): Promise<void> => {
    for (const end = next + count; next < end; next++)
      expect(await world.run([next % 11], next === 0)).toEqual(reference.run([next % 11], next === 0));
  };
  const failed = () => world.events.filter((event) => event.type === "checkpointFailed");
  const recovered = () => world.events.filter((event) => event.type === "recovered");
  return { world, runs, failed, recovered };
}

describe("a checkpoint that cannot be stored", () => {
  it("leaves the durable point where it is, is told, and is made good by the next", async () => {
    const { world, runs, failed, recovered } = await opened(1);
    await runs(1);
    await vi.waitFor(() => expect(world.session.durableRun).toBe(0));
    world.writesFail = (stage) => stage === 1;
    await runs(CHECKPOINT_EVERY_RUNS + 4);
    await vi.waitFor(() => expect(failed()).toMatchObject([{ stage: 1, run: CHECKPOINT_EVERY_RUNS, inARow: 1 }]));
    expect(world.session.durableRun).toBe(0);
    // Only what is stored by all stages counts, and all since then is done again.
    await Promise.all([world.kill(0), world.kill(1)]);
    await runs(1);
    await vi.waitFor(() => expect(recovered()).toHaveLength(2));
    for (const { restoredRun } of recovered()) expect(restoredRun).toBeLessThanOrEqual(0);
    world.writesFail = () => false;
    await runs(2 * CHECKPOINT_EVERY_RUNS);
    await vi.waitFor(() => expect(world.session.durableRun).toBeGreaterThan(CHECKPOINT_EVERY_RUNS));
    await Promise.all([world.kill(0), world.kill(1)]);
    await runs(1);
    await vi.waitFor(() => expect(recovered().at(-1)?.restoredRun).toBeGreaterThan(CHECKPOINT_EVERY_RUNS));
  });

  it("again and again holds runs back at the bound, where it is tried until the disk has room", async () => {
    const { world, runs, recovered } = await opened(2);
    await runs(1);
    await vi.waitFor(() => expect(world.session.durableRun).toBe(0));
    world.writesFail = () => true;
    const many = runs(2 * REPLAY_RUNS_MAX);
    // Two of those that are made while all stands still fail as well.
    await vi.waitFor(() => expect(held(world)).toBeGreaterThanOrEqual(2), 5_000);
    expect(world.hosts[0]?.executed).toBe(REPLAY_RUNS_MAX + 1);
    await Promise.all([world.kill(0), world.kill(1)]);
    world.writesFail = () => false;
    await many;
    for (const { replayedRuns } of recovered()) expect(replayedRuns).toBeLessThanOrEqual(REPLAY_RUNS_MAX);
    await world.kill(0);
    await runs(3);
  });

  it("for good ends the session once its bound of replay is reached, with what to do", async () => {
    const { world, runs, failed } = await opened(3);
    world.writesFail = () => true;
    await expect(runs(REPLAY_RUNS_MAX + 2)).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
    expect(failed().length).toBeGreaterThanOrEqual(3);
    await expect(world.run([1], true)).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
  }, 30_000);

  it("in a generation holds it at the bound and no longer than it must", async () => {
    const { world } = await opened(4);
    world.writesFail = () => true;
    const ids: number[] = [];
    const all = (async () => {
      for await (const { id } of world.session.generate([1, 2], { maxNewTokens: 70 })) ids.push(id);
    })();
    await vi.waitFor(() => expect(held(world)).toBeGreaterThanOrEqual(1), 5_000);
    expect(ids).toHaveLength(REPLAY_RUNS_MAX);
    world.writesFail = () => false;
    await all;
    expect(ids).toEqual(new Reference(2).generate([1, 2], 70));
  });

  it("fails makeDurable alone, and the session goes on", async () => {
    const { world, runs } = await opened(5);
    await runs(3);
    world.writesFail = () => true;
    await expect(world.session.makeDurable()).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
    await runs(2);
    world.writesFail = () => false;
    expect(await world.session.makeDurable()).toBe(4);
  }, 30_000);
});

describe("the interval between checkpoints", () => {
  it("of 0 makes every run durable", async () => {
    const { world, runs } = await opened(6, { checkpointIntervalMs: 0 });
    await runs(6);
    await vi.waitFor(() => expect(world.session.durableRun).toBe(5));
    expect(world.checkpoints.runs(0)).toEqual([0, 1, 2, 3, 4, 5]);
  });
  it("is kept by a session that stands still as well", async () => {
    const { world, runs } = await opened(7, { checkpointIntervalMs: 100 });
    await runs(4);
    await vi.waitFor(() => expect(world.session.durableRun).toBe(3), 3_000);
  });
});

/** Checkpoints that failed while nothing was under way: all stages tried to store the state after the same, newest run. */
function held(world: World): number {
  const failed = world.events.flatMap((event) => (event.type === "checkpointFailed" ? [event] : []));
  const last = Math.max(...failed.map(({ run }) => run));
  const tries = failed.filter(({ run, stage }) => run === last && stage === 0).length;
  return last % CHECKPOINT_EVERY_RUNS === 0 ? tries - 1 : tries;
}

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Token } from "../../../src/page/run-options.ts";
import { Reference } from "./world/model.ts";
import { World, type WorldOptions } from "./world/world.ts";

const PROMPT = [1, 2];
const TOKENS = 60;
const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

async function opened(seed: number, options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World(seed, { stages: 2, ...options });
  worlds.push(world);
  await world.open();
  return world;
}

/** So many tokens of a generation that goes on behind the loop. */
async function some(world: World, count: number): Promise<number[]> {
  const ids: number[] = [];
  const tokens = world.session.generate(PROMPT, { maxNewTokens: TOKENS });
  while (ids.length < count) ids.push(((await tokens.next()).value as Token).id);
  return ids;
}

async function rest(world: World, fromIndex: number): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id, index } of world.session.resumeGeneration({ fromIndex })) {
    expect(index).toBe(fromIndex + ids.length);
    ids.push(id);
  }
  return ids;
}

describe.each([1, 2, 3])("a generation in %i stages goes on where the page's loop was, with the same ids", (stages) => {
  const all = new Reference(stages).generate(PROMPT, TOKENS);

  it("after the browser was killed at any token", async () => {
    for (let at = 1; at < TOKENS; at += 7) {
      const world = await opened(at, { stages });
      const before = await some(world, at);
      await world.restart();
      expect([...before, ...(await rest(world, at))], `killed at token ${at}`).toEqual(all);
    }
  });
  it("after a journal that lost its newest entries, from an older point", async () => {
    for (let lost = 1; lost < 4; lost++) {
      const world = await opened(lost, { stages });
      const before = await some(world, 50);
      await vi.waitFor(() => expect(world.entries.length).toBeGreaterThan(lost));
      await world.restart(lost);
      expect([...before, ...(await rest(world, 50))], `${lost} entries lost`).toEqual(all);
    }
  });
  it("after a reload, after two, and after a bridge that dies in between", async () => {
    const world = await opened(5, { stages });
    await some(world, 20);
    await world.reload();
    const tokens = world.session.resumeGeneration({ fromIndex: 3 });
    const ids: number[] = [];
    for (let count = 0; count < 30; count++) ids.push(((await tokens.next()).value as Token).id);
    expect(ids).toEqual(all.slice(3, 33));
    await world.restart();
    const second = rest(world, 33);
    await world.turns(20);
    await world.loseBridge();
    expect(await second).toEqual(all.slice(33));
  });
});

it("no run is called durable before the journal has the ids that lead on from it", async () => {
  const world = await opened(9);
  const before = await some(world, 45);
  const told = world.session.durableRun;
  expect(told).toBeGreaterThanOrEqual(0);
  const known = world.entries.reduce((count, { base, ids }) => Math.max(count, base + ids.length), 0);
  expect(told).toBeLessThan(known);
  await world.restart();
  expect(world.session.durableRun).toBeGreaterThanOrEqual(told);
  expect(before).toEqual(new Reference(2).generate(PROMPT, 45));
});

it("a page that feeds runs itself goes on with the run after the durable one", async () => {
  for (const count of [1, 5, 17, 40]) {
    const world = await opened(count);
    const reference = new Reference(2);
    for (let run = 0; run < count; run++) await world.run([run % 5], run === 0);
    const told = world.session.durableRun;
    await world.restart();
    expect(world.session.durableRun).toBeGreaterThanOrEqual(told);
    expect(world.session.nextRun).toBe(world.session.durableRun + 1);
    for (let run = 0; run < count + 3; run++) {
      const expected = reference.run([run % 5], run === 0);
      if (run >= world.session.nextRun) expect(await world.run([run % 5], false), `run ${run}`).toEqual(expected);
    }
  }
});

it("a durable point that is asked for holds for every run before it", async () => {
  const world = await opened(3);
  const reference = new Reference(2);
  for (let run = 0; run < 7; run++) expect(await world.run([run], run === 0)).toEqual(reference.run([run], run === 0));
  expect(await world.session.makeDurable()).toBe(6);
  await world.restart();
  expect(world.session.nextRun).toBe(7);
  expect(await world.run([9], false)).toEqual(reference.run([9], false));
});

it("a generation that the page leaves for runs of its own is not gone on with", async () => {
  const world = await opened(4);
  await some(world, 30);
  await world.restart();
  const from = world.session.nextRun;
  await world.run([3], true);
  await expect(rest(world, 0)).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  expect(await world.session.makeDurable()).toBe(from);
  await world.restart();
  expect(world.session.nextRun).toBe(from + 1);
  const reference = new Reference(2);
  reference.run([3], true);
  expect(await world.run([4], false)).toEqual(reference.run([4], false));
});

describe("a session without a run for a while", () => {
  it("gives its hosts back, and the next run brings others, state and all", async () => {
    const world = await opened(6, { idleMs: 60 });
    const reference = new Reference(2);
    expect(await world.run([1, 2], true)).toEqual(reference.run([1, 2], true));
    expect(await world.run([3], false)).toEqual(reference.run([3], false));
    await vi.waitFor(() => expect(world.parks).toBe(1));
    expect(await world.run([4], false)).toEqual(reference.run([4], false));
    const all = new Reference(2).generate(PROMPT, 20);
    await vi.waitFor(() => expect(world.parks).toBe(2));
    const ids: number[] = [];
    for await (const { id } of world.session.generate(PROMPT, { maxNewTokens: 20 })) ids.push(id);
    expect(ids).toEqual(all);
    expect(world.events.filter(({ type }) => type === "fault" || type === "recovered")).toEqual([]);
  });
  it("without state does so as well", async () => {
    const world = await opened(7, { idleMs: 60, stateful: false });
    const reference = new Reference(2, false);
    expect(await world.run([1], true)).toEqual(reference.run([1], true));
    await vi.waitFor(() => expect(world.parks).toBe(1));
    expect(await world.run([2], false)).toEqual(reference.run([2], false));
  });
});

it.each([1, 2, 3])(
  "a session in %i stages whose stored state is lost says so each time, and serves who begins anew",
  async (stages) => {
    const world = await opened(8, { stages });
    for (let run = 0; run < 20; run++) await world.run([run % 5], run === 0);
    await world.session.makeDurable();
    for (let stage = 0; stage < stages; stage++)
      for (const run of world.checkpoints.runs(stage)) world.checkpoints.damage(stage, run, () => null);
    await world.restart();
    for (let time = 0; time < 2; time++) {
      await expect(world.run([3], false)).rejects.toMatchObject({ code: "STATE_LOST" });
      // However long the page thinks about it.
      await world.turns(200);
    }
    const reference = new Reference(stages);
    for (let run = 0; run < 20; run++)
      expect(await world.run([run % 5], run === 0)).toEqual(reference.run([run % 5], run === 0));
    await world.kill(stages - 1);
    expect(await world.run([9], false)).toEqual(reference.run([9], false));
  },
);

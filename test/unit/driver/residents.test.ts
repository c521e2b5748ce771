import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";
import { checkKeep, Resident, splitFeeds } from "../../../src/page/residents.ts";
import { idsTensor, Reference } from "./world/model.ts";
import { World, type WorldOptions } from "./world/world.ts";

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

async function keptAfter(world: World, ids: readonly number[]): Promise<Resident> {
  const { state } = await world.runKept(ids, { reset: true, keep: true });
  return state as Resident;
}

describe("a handle is refused before anything is sent", () => {
  it("after it was disposed of", async () => {
    const world = await opened(1);
    const state = await keptAfter(world, [1]);
    state.dispose();
    const next = world.session.nextRun;
    await expect(world.runKept([2], { from: state, keep: false })).rejects.toMatchObject({ code: "HANDLE_UNKNOWN" });
    await expect(state.read()).rejects.toMatchObject({ code: "HANDLE_UNKNOWN" });
    expect(world.session.nextRun).toBe(next);
  });
  it("when another session gave it", async () => {
    const [world, other] = [await opened(2), await opened(3)];
    await keptAfter(world, [1]);
    const foreign = await keptAfter(other, [1]);
    await expect(world.runKept([2], { from: foreign, keep: false })).rejects.toMatchObject({ code: "HANDLE_UNKNOWN" });
  });
  it("when it is made up", async () => {
    const world = await opened(4);
    const { run, tensors } = await keptAfter(world, [1]);
    const forged = Object.assign(Object.create(Resident.prototype), { run, output: null, tensors });
    await expect(world.runKept([2], { from: forged, keep: false })).rejects.toMatchObject({ code: "HANDLE_UNKNOWN" });
  });
});

describe("what a page makes up is refused as a feed, by code", () => {
  const INPUTS = [{ name: "x", type: "float32", dims: null }] as const;
  const tried = (feed: unknown) => () => splitFeeds({ x: feed as Resident }, INPUTS);
  it.each([
    ["an empty object with the handle's prototype", {}],
    ["one that says to be an output", { run: 0, output: "y", tensors: [] }],
    ["one that says all that a handle says", { run: 0, output: "y", tensors: [{ name: "y", type: "float32" }] }],
  ])("%s", (_, properties) => {
    const forged = Object.assign(Object.create(Resident.prototype), properties);
    expect(tried(forged)).toThrow(expect.objectContaining({ code: "HANDLE_UNKNOWN" }));
  });
  it("feeds that are no object", () => {
    for (const feeds of [null, undefined, "x", 1])
      expect(() => splitFeeds(feeds as never, INPUTS)).toThrow(expect.objectContaining({ code: "BAD_FEEDS" }));
  });
  it.each([null, "y", 1, {}])("keep: %j", (keep) => {
    const plan = { stateInputs: [], results: [] };
    expect(() => checkKeep({ keep: keep as never }, false, plan)).toThrow(
      expect.objectContaining({ code: "BAD_OPTIONS" }),
    );
  });
});

describe.each([1, 2, 3])("what handles keep in %i stages", (stages) => {
  it("costs no bytes any more once they are disposed of", async () => {
    const world = await opened(5, { stages });
    await world.run([1], true);
    await world.run([2, 3], true);
    const plain = world.stateBytes;
    const states = [await keptAfter(world, [4, 5]), await keptAfter(world, [6, 7])];
    const { state } = await world.runKept([2], { from: states[0] as Resident, keep: true });
    expect(sum(world.stateBytes)).toBeGreaterThan(sum(plain));
    for (const each of [...states, state]) each?.dispose();
    await world.run([2, 3], true);
    expect(world.stateBytes).toEqual(plain);
  });

  it("is freed by the first run of a page that takes the session up, whose state is the last one", async () => {
    const world = await opened(6, { stages });
    await world.run([2, 3], true);
    const plain = world.stateBytes;
    const reference = new Reference(stages);
    reference.run([4, 5], true);
    await keptAfter(world, [1, 1, 1]);
    await keptAfter(world, [4, 5]);
    await world.session.makeDurable();
    await world.restart();
    expect(await world.run([6], false)).toEqual(reference.run([6], false));
    await world.run([2, 3], true);
    expect(world.stateBytes).toEqual(plain);
  });
});

describe("a model without state whose output a handle keeps", () => {
  it("has it stored before its hosts are given back, and in those that come", async () => {
    const world = await opened(7, { stateful: false, idleMs: 60 });
    const feeds = { input_ids: idsTensor([1, 2]) };
    const expected = await world.run([1, 2], true);
    const { residents } = await world.session.run(feeds, { keep: ["logits"] });
    await vi.waitFor(() => expect(world.parks).toBe(1));
    const { logits } = await residents.logits.read();
    expect(Array.from(logits?.data as Float32Array)).toEqual(expected);
  });
  it("goes on when all are gone, with another bridge and another host", async () => {
    const world = await opened(8, { stateful: false });
    const { residents } = await world.session.run({ input_ids: idsTensor([1]) }, { keep: ["logits"] });
    await world.session.makeDurable();
    residents.logits.dispose();
    const reference = new Reference(2, false);
    for (let id = 2; id < 6; id++) expect(await world.run([id], false)).toEqual(reference.run([id], false));
    await world.kill(0);
    expect(await world.run([6], false)).toEqual(reference.run([6], false));
    expect(await world.session.makeDurable()).toBe(world.session.nextRun - 1);
    await world.loseBridge();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await world.kill(0);
    expect(await world.run([7], false)).toEqual(reference.run([7], false));
    expect(await world.session.makeDurable()).toBe(world.session.nextRun - 1);
  });
});

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

it("what was read is not kept by the page's side of the session once another run that computes nothing has ended", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const world = await opened(12);
  const state = await keptAfter(world, [1, 2]);
  // Its bytes: the tensor around them is made for the caller.
  const read = async () => {
    const [tensor] = Object.values(await state.read());
    return new WeakRef((tensor?.data ?? []) as Float32Array);
  };
  const first = await read();
  await read();
  await vi.waitFor(() => {
    collect();
    expect(first.deref() === undefined).toBe(true);
  });
});

import { describe, expect, it, vi } from "vitest";
import { CHECKPOINT_EVERY_RUNS } from "../../../src/base/limits.ts";
import type { StoredCheckpoint } from "../../../src/state/checkpoint-codec.ts";
import { Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

const flip = (text: string, at: number): string =>
  text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);

/** Each part of a stored piece, and all of it. */
const DAMAGES: Readonly<Record<string, (stored: StoredCheckpoint) => StoredCheckpoint | null>> = {
  "a flipped bit of its tensors": (stored) => {
    const payload = stored.payload.slice();
    payload[payload.length >> 1] = (payload[payload.length >> 1] ?? 0) ^ 1;
    return { ...stored, payload };
  },
  "a flipped bit of its header": (stored) => ({ ...stored, header: flip(stored.header, stored.header.length >> 1) }),
  "a flipped bit of its digest": (stored) => ({ ...stored, digest: flip(stored.digest, 7) }),
  "a torn end": (stored) => ({ ...stored, payload: stored.payload.slice(0, -3) }),
  "another session's name": (stored) => ({ ...stored, header: stored.header.replace("session", "sessiom") }),
  "its absence": () => null,
};

/** A session in two stages that has done runs 0 … `last`, with all that can be durable durable. */
async function played(last: number, seed = 1) {
  const world = new World(seed, { stages: 2 });
  const reference = new Reference(2);
  await world.open();
  for (let run = 0; run <= last; run++)
    expect(await world.run([run % 11], run === 0)).toEqual(reference.run([run % 11], run === 0));
  const newest = last - (last % CHECKPOINT_EVERY_RUNS);
  await vi.waitFor(() => expect(world.events).toContainEqual({ type: "durable", run: newest }), 5_000);
  const restored = () => world.events.flatMap((event) => (event.type === "recovered" ? [event.restoredRun] : []));
  return { world, reference, newest, restored };
}

describe("a durable point that turns out to be damaged", () => {
  it.each(Object.entries(DAMAGES))("by %s is refused, and the one before it is used", async (_, damage) => {
    const { world, reference, newest, restored } = await played(2 * CHECKPOINT_EVERY_RUNS + 3);
    world.checkpoints.damage(1, newest, damage);
    await world.kill(1);
    expect(await world.run([3], false)).toEqual(reference.run([3], false));
    await vi.waitFor(() => expect(restored()).toEqual([newest - CHECKPOINT_EVERY_RUNS]));
    world.close();
  });

  it("costs nothing in any stage, when all die, and the session can be lost and taken up again", async () => {
    for (const damaged of [0, 1]) {
      const { world, reference, newest } = await played(2 * CHECKPOINT_EVERY_RUNS + 3, 2 + damaged);
      world.checkpoints.damage(damaged, newest, () => null);
      await Promise.all([world.kill(0), world.kill(1), world.loseBridge()]);
      for (let run = 0; run < 2 * CHECKPOINT_EVERY_RUNS; run++)
        expect(await world.run([run % 7], false)).toEqual(reference.run([run % 7], false));
      await Promise.all([world.kill(0), world.kill(1)]);
      expect(await world.run([5], false)).toEqual(reference.run([5], false));
      world.close();
    }
  });

  it("together with all before it costs a generation nothing: its tokens are known", async () => {
    const world = new World(4, { stages: 3 });
    const reference = new Reference(3);
    await world.open();
    const ids: number[] = [];
    for await (const { id } of world.session.generate([1, 2, 3], { maxNewTokens: 60 })) {
      ids.push(id);
      if (ids.length !== 45) continue;
      for (const run of world.checkpoints.runs(1)) world.checkpoints.damage(1, run, () => null);
      await world.kill(1);
    }
    expect(ids).toEqual(reference.generate([1, 2, 3], 60));
    world.close();
  });

  it("together with all before it is said to be lost, never made up, when the page's feeds are gone", async () => {
    const { world } = await played(3 * CHECKPOINT_EVERY_RUNS + 1, 5);
    for (const run of world.checkpoints.runs(0)) world.checkpoints.damage(0, run, () => null);
    await world.kill(0);
    await expect(world.run([3], false)).rejects.toMatchObject({ code: "STATE_LOST" });
    await world.turns(200);
    // The session is there for a run that starts anew, as the error says.
    const anew = new Reference(2);
    for (let run = 0; run < 20; run++)
      expect(await world.run([run % 5], run === 0)).toEqual(anew.run([run % 5], run === 0));
    await world.kill(1);
    expect(await world.run([4], false)).toEqual(anew.run([4], false));
    world.close();
  });
});

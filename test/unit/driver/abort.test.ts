import { afterEach, describe, expect, it } from "vitest";
import type { Token } from "../../../src/page/run-options.ts";
import { Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

const worlds: World[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

/** A session in the middle of a generation, whose host has died without anybody knowing. */
async function stuck(): Promise<{ world: World; next: AsyncGenerator<Token>; abort: AbortController }> {
  const world = new World(worlds.length + 1, { stages: 2 });
  worlds.push(world);
  await world.open();
  const abort = new AbortController();
  const next = world.session.generate([1, 2], { maxNewTokens: 1_000, signal: abort.signal });
  for (let token = 0; token < 5; token++) await next.next();
  world.hosts[1]?.kill();
  return { world, next, abort };
}

/** What the driver had sent before the host died. */
async function rest(tokens: AsyncGenerator<Token>): Promise<void> {
  for await (const _ of tokens);
}

describe("while a host is dead and its recovery takes its time", () => {
  it("a generation is aborted at once", async () => {
    const { next, abort } = await stuck();
    const waiting = rest(next);
    await new Promise(setImmediate);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "ABORTED" });
  });
  it("a loop that breaks goes on at once", async () => {
    const { next } = await stuck();
    await next.return(undefined);
    expect(await next.next()).toEqual({ done: true, value: undefined });
  });
  it("what comes next waits for the generation's run, unless it is aborted as well", async () => {
    const { world, next } = await stuck();
    await next.return(undefined);
    const abort = new AbortController();
    const waiting = world.session.run(
      { input_ids: { type: "int64", dims: [1, 1], data: BigInt64Array.of(1n) } },
      abort,
    );
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "ABORTED" });
    const reference = new Reference(2);
    const run = world.run([3], true);
    await world.kill(1);
    expect(await run).toEqual(reference.run([3], true));
    expect(await world.run([4], false)).toEqual(reference.run([4], false));
  });
});

it("what is aborted in the turn that began it ends with ABORTED, and costs the next nothing", async () => {
  const world = new World(worlds.length + 1, { stages: 2 });
  worlds.push(world);
  await world.open();
  const one = { input_ids: { type: "int64", dims: [1, 1], data: BigInt64Array.of(1n) } } as const;
  const abort = new AbortController();
  const run = world.session.run(one, abort);
  const token = world.session.generate([1, 2], { maxNewTokens: 3, signal: abort.signal }).next();
  abort.abort();
  await expect(run).rejects.toMatchObject({ code: "ABORTED" });
  await expect(token).rejects.toMatchObject({ code: "ABORTED" });
  expect(await world.run([3], true)).toEqual(new Reference(2).run([3], true));
});

import { expect } from "vitest";
import { idsTensor, Reference, VOCABULARY } from "./model.ts";
import { World, type WorldOptions } from "./world.ts";

/** A history that has not ended after this long hangs, milliseconds. */
const HANG_MS = 8_000;

export interface HistoryOptions extends WorldOptions {
  readonly kills: number;
  readonly bridgeLosses?: number;
  readonly poolLosses?: number;
  /** An id that makes runs fail is fed now and then. */
  readonly badId?: number;
}

/** Runs and generations at random, faults at random: every answer must be the undisturbed one. */
export async function playHistory(seed: number, options: HistoryOptions): Promise<World> {
  const world = new World(seed, options);
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the history hangs")), HANG_MS);
  });
  try {
    await world.open();
    const faults = disturb(world, options);
    await Promise.race([work(world, options), hang]);
    await Promise.race([faults, hang]);
    return world;
  } catch (error) {
    throw new Error(`history of seed ${seed} with ${JSON.stringify(options)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    world.close();
  }
}

async function work(world: World, { stages, badId }: HistoryOptions): Promise<void> {
  const { random } = world;
  const reference = new Reference(stages);
  for (let step = 0; step < 5; step++) {
    if (random.chance(0.4)) {
      const prompt = someIds(world);
      const count = 1 + random.below(24);
      const seen: number[] = [];
      for await (const { index, id } of world.session.generate(prompt, { maxNewTokens: count })) {
        expect(index).toBe(seen.length);
        seen.push(id);
      }
      expect(seen).toEqual(reference.generate(prompt, count));
      continue;
    }
    const burst = Array.from({ length: 1 + random.below(24) }, (_, index) => {
      const bad = badId !== undefined && random.chance(0.1);
      return { ids: bad ? [badId] : someIds(world), reset: (step === 0 && index === 0) || random.chance(0.06) };
    });
    const expected = burst.map(({ ids, reset }) => reference.run(ids, reset));
    const answers = await Promise.all(burst.map(({ ids, reset }) => run(world, ids, reset)));
    expect(answers).toEqual(expected);
  }
}

/** The run's logits; null when it failed as it should. */
async function run(world: World, ids: readonly number[], reset: boolean): Promise<number[] | null> {
  try {
    const { logits } = await world.session.run({ input_ids: idsTensor(ids) }, { reset });
    return Array.from(logits?.data as Float32Array);
  } catch (error) {
    if ((error as { code?: string }).code === "RUN_FAILED") return null;
    throw error;
  }
}

async function disturb(world: World, options: HistoryOptions): Promise<void> {
  const { random } = world;
  const faults = [
    ...Array.from({ length: options.kills }, () => () => world.kill(random.below(options.stages))),
    ...Array.from({ length: options.bridgeLosses ?? 0 }, () => () => world.loseBridge()),
    ...Array.from({ length: options.poolLosses ?? 0 }, () => async () => world.losePool()),
  ];
  const running: Promise<void>[] = [];
  while (faults.length > 0) {
    await world.turns(60);
    const [fault] = faults.splice(random.below(faults.length), 1);
    running.push(fault?.() ?? Promise.resolve());
  }
  await Promise.all(running);
}

function someIds(world: World): number[] {
  return Array.from({ length: 1 + world.random.below(3) }, () => world.random.below(VOCABULARY - 4));
}

import { expect } from "vitest";
import { HoldfastError } from "../../../../src/base/errors.ts";
import { Reference, VOCABULARY } from "./model.ts";
import { World, type WorldOptions } from "./world.ts";

/** A history that has not ended after this long hangs, milliseconds. */
const HANG_MS = 20_000;

export interface HistoryOptions extends WorldOptions {
  readonly kills: number;
  readonly bridgeLosses?: number;
  readonly poolLosses?: number;
  /** An id that makes runs fail is fed now and then. */
  readonly badId?: number;
  /** Codes that runs may fail with, because the level or the fault lets them. */
  readonly mayFail?: readonly string[];
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

async function work(world: World, options: HistoryOptions): Promise<void> {
  const { random } = world;
  const { stages, badId, stateful = true, mayFail } = options;
  const oracle = new Oracle(new Reference(stages, stateful), stateful, mayFail ?? []);
  for (let step = 0; step < 5; step++) {
    if (stateful && random.chance(0.4)) {
      const prompt = someIds(world);
      const count = 1 + random.below(24);
      oracle.generated(prompt, count, await generate(world, prompt, count));
      continue;
    }
    const burst = Array.from({ length: 1 + random.below(24) }, (_, index) => {
      const bad = badId !== undefined && random.chance(0.1);
      return { ids: bad ? [badId] : someIds(world), reset: (step === 0 && index === 0) || random.chance(0.06) };
    });
    const answers = await Promise.all(burst.map(({ ids, reset }) => run(world, ids, reset)));
    for (const [index, { ids, reset }] of burst.entries()) oracle.ran(ids, reset, answers[index] as number[] | string);
  }
}

/** Holds what a session answers against the undisturbed model, and against what its level lets fail. */
class Oracle {
  /** A run failed with its host: the state is lost until a run starts from initial state. */
  private lost = false;

  constructor(
    private readonly reference: Reference,
    private readonly stateful: boolean,
    private readonly mayFail: readonly string[],
  ) {}

  ran(ids: readonly number[], reset: boolean, answer: number[] | string): void {
    if (typeof answer === "string" && this.mayFail.includes(answer)) {
      this.lost = true;
      return;
    }
    if (reset || !this.stateful) this.lost = false;
    expect(this.lost, "an answer from a state that was lost").toBe(false);
    expect(answer).toEqual(this.reference.run(ids, reset) ?? "RUN_FAILED");
  }

  generated(prompt: readonly number[], count: number, { ids, error }: { ids: number[]; error: string | null }): void {
    const expected = this.reference.generate(prompt, count);
    expect(ids).toEqual(error === null ? expected : expected.slice(0, ids.length));
    if (error !== null) expect(this.mayFail).toContain(error);
    this.lost = error !== null;
  }
}

/** The run's logits, or the code of its failure. */
async function run(world: World, ids: readonly number[], reset: boolean): Promise<number[] | string> {
  try {
    return await world.run(ids, reset);
  } catch (error) {
    return codeOf(error);
  }
}

async function generate(
  world: World,
  prompt: readonly number[],
  count: number,
): Promise<{ ids: number[]; error: string | null }> {
  const ids: number[] = [];
  try {
    for await (const { index, id } of world.session.generate(prompt, { maxNewTokens: count })) {
      expect(index).toBe(ids.length);
      ids.push(id);
    }
    return { ids, error: null };
  } catch (error) {
    return { ids, error: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  if (error instanceof HoldfastError) return error.code;
  throw error;
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

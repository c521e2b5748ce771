import { expect } from "vitest";
import { HoldfastError } from "../../../../src/base/errors.ts";
import type { WireTensors } from "../../../../src/base/tensor.ts";
import type { Resident } from "../../../../src/page/residents.ts";
import { Reference, VOCABULARY } from "./model.ts";
import { World, type WorldOptions } from "./world.ts";

/** A history that has not ended after this long hangs, milliseconds. */
const HANG_MS = 20_000;

export interface HistoryOptions extends WorldOptions {
  readonly kills: number;
  readonly bridgeLosses?: number;
  /** Planned moves of a stage to another host. */
  readonly moves?: number;
  /** Hosts that give one wrong bit, in an output or only in the state that they keep. */
  readonly lies?: number;
  readonly poolLosses?: number;
  /** An id that makes runs fail is fed now and then. */
  readonly badId?: number;
  /** Runs keep their state, start from kept states, read and dispose of them. */
  readonly branches?: boolean;
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
  const tree = options.branches ? new Tree(world, oracle) : null;
  for (let step = 0; step < 5; step++) {
    if (tree !== null && random.chance(0.6)) {
      await tree.grow(1 + random.below(24), step === 0, badId);
      continue;
    }
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

  get version(): WireTensors {
    return this.reference.version;
  }

  from(version: WireTensors): void {
    this.reference.from(version);
  }

  mayFailWith(code: string): void {
    expect(this.mayFail).toContain(code);
  }

  ran(ids: readonly number[], reset: boolean, answer: number[] | string, branches = false): void {
    if (typeof answer === "string" && this.mayFail.includes(answer)) {
      this.lost = true;
      return;
    }
    if (reset || branches || !this.stateful) this.lost = false;
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

/** Handles of a history, each with the state that the undisturbed model had there. */
class Tree {
  private readonly kept: { readonly handle: Resident; readonly version: WireTensors }[] = [];

  constructor(
    private readonly world: World,
    private readonly oracle: Oracle,
  ) {}

  /** A burst of runs from anywhere in the tree; the answers are held against the model's in the order of the runs. */
  async grow(runs: number, first: boolean, badId: number | undefined): Promise<void> {
    const { random } = this.world;
    const asked = Array.from({ length: runs }, (_, index) => {
      const from = random.chance(0.5) ? this.any() : undefined;
      const ids = badId !== undefined && random.chance(0.1) ? [badId] : someIds(this.world);
      const reset = (first && index === 0) || (from === undefined && random.chance(0.06));
      const keep = random.chance(0.4);
      const answer = this.ask(ids, { ...(from && { from: from.handle }), reset, keep });
      if (random.chance(0.3)) this.dispose();
      return { ids, from, reset, answer };
    });
    for (const { ids, from, reset, answer } of asked) {
      if (from !== undefined) this.oracle.from(from.version);
      const { result, handle } = await answer;
      this.oracle.ran(ids, reset, result, from !== undefined);
      if (handle !== null) this.kept.push({ handle, version: this.oracle.version });
    }
    if (random.chance(0.3)) await this.keepNewest();
    if (random.chance(0.3)) await this.read();
  }

  private async ask(
    ids: readonly number[],
    options: { from?: Resident; reset: boolean; keep: boolean },
  ): Promise<{ result: number[] | string; handle: Resident | null }> {
    try {
      const { logits, state } = await this.world.runKept(ids, options);
      return { result: logits, handle: state };
    } catch (error) {
      return { result: codeOf(error), handle: null };
    }
  }

  private any(): { handle: Resident; version: WireTensors } | undefined {
    return this.kept[this.world.random.below(this.kept.length)];
  }

  private dispose(): void {
    const [gone] = this.kept.splice(this.world.random.below(this.kept.length), 1);
    gone?.handle.dispose();
  }

  private async keepNewest(): Promise<void> {
    const handle = await this.world.session.keepState().catch((error) => this.oracle.mayFailWith(codeOf(error)));
    if (handle) this.kept.push({ handle, version: this.oracle.version });
  }

  private async read(): Promise<void> {
    const kept = this.any();
    if (kept === undefined) return;
    const tensors = await kept.handle.read().catch((error) => this.oracle.mayFailWith(codeOf(error)));
    if (!tensors) return;
    for (const [name, { data }] of Object.entries(kept.version)) expect(tensors[name]?.data).toEqual(data);
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
    ...Array.from({ length: options.kills }, () => () => world.kill(random.below(world.hosts.length))),
    ...Array.from({ length: options.moves ?? 0 }, () => async () => {
      await world.move(random.below(world.hosts.length), async () => random.chance(0.8));
    }),
    ...Array.from({ length: options.lies ?? 0 }, () => async () => void world.lie()),
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

/** Faults of every kind, at seeded times, while three sites work: what was lost by it must be nothing. */
import { sleep } from "../../src/demo/launch/wait.mjs";
import { randomFor, SEED, wholeNumber } from "../browser/support/random.ts";
import { KINDS, type Kind, type Lasting } from "./faults.ts";
import { type Injected, outcomeOf, type Report } from "./figures.ts";
import { Listener } from "./listener.ts";
import { openSetting, type Setting } from "./setting.ts";
import { type Level, type Work, type WorkName, worksOf } from "./works.ts";

export { LEVELS } from "./works.ts";

export interface ChaosOptions {
  readonly minutes: number;
  readonly level: Level;
  readonly extensionDir: string;
  readonly only?: readonly string[] | undefined;
  /** No more faults; what is under way comes to its end. */
  readonly signal?: AbortSignal;
  readonly say: (line: string) => void;
}

/** Between two faults. */
const GAP_MS: Readonly<Record<Level, { least: number; most: number }>> = {
  medium: { least: 1_500, most: 5_000 },
  high: { least: 2_500, most: 7_000 },
  critical: { least: 4_000, most: 9_000 },
};
/** Each work must have answered within this. The faults begin with the first answer, so that they meet openings as well. */
const BEGIN_MS = 180_000;
/** A little more than the minute within which a second close is a user's pause. */
const CLOSES_APART_MS = 65_000;
/** What is under way when the faults end must come to its end within this. */
const DRAIN_MS = 120_000;
const RECOVERED_WITHIN_MS = 60_000;
/** A fault waits so long for the ones before it to be recovered from, … */
const PATIENCE_MS = 40_000;
/** … but this share of them does not wait at all. */
const IMPATIENT = 0.25;

interface Stage {
  readonly hostId: string;
  readonly phase: string;
  readonly provider: string | null;
}

/** As many faults as there is time for. The seed is `HOLDFAST_SEED`. */
export async function chaos({ minutes, level, extensionDir, only, signal, say }: ChaosOptions): Promise<Report> {
  const begun = Date.now();
  const tell = (line: string): void => say(`${((Date.now() - begun) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
  const setting = await openSetting((hub) => worksOf(level, hub), extensionDir);
  try {
    const listener = new Listener(setting, tell);
    const names: WorkName[] = [];
    // One after the other: to open all of them at once takes two cores longer than a host may take to start.
    const begin = async (): Promise<void> => {
      for (const { name } of setting.works.filter(({ waits }) => !waits)) {
        if (signal?.aborted === true) return;
        await setting.pageOf(name).evaluate(`chaos.start(${JSON.stringify(name)})`);
        await listener.until(`an answer of ${name}`, () => listener.answered([name]), BEGIN_MS);
        names.push(name);
        tell(`${name} has begun`);
      }
    };
    const beginning = begin();
    beginning.catch(() => {});
    await Promise.race([beginning, listener.until("an answer", () => names.length > 0, BEGIN_MS)]);
    const kinds = kindsFor(setting.works).filter(({ name }) => only?.some((word) => name.includes(word)) ?? true);
    const injector = new Injector(setting, names, kinds, level, tell);
    const start = Date.now();
    const end = start + minutes * 60_000;
    const outcomes = () => injector.injected.map((fault) => outcomeOf(fault, listener.answers, listener.events));
    const recovered = async (withinMs: number): Promise<void> => {
      const late = Date.now() + withinMs;
      const open = () => outcomes().some(({ failed, lasts, recoveredMs }) => !failed && !lasts && recoveredMs === null);
      while (Date.now() < late && signal?.aborted !== true && open()) await sleep(200);
    };
    while (Date.now() < end && signal?.aborted !== true) {
      await injector.next();
      if (!injector.isImpatient(IMPATIENT)) await recovered(Math.min(PATIENCE_MS, end - Date.now()));
    }
    // Fewer than were asked for, when it was ended early.
    const played = Math.round((Date.now() - start) / 6_000) / 10;
    await Promise.all([beginning, injector.over()]);
    // What was hit last gets its time to answer again: works answer on until they are told to stop.
    const isOpen = () => outcomes().some(({ failed, recoveredMs }) => !failed && recoveredMs === null);
    const late = Date.now() + RECOVERED_WITHIN_MS;
    while (Date.now() < late && isOpen()) await sleep(200);
    await listener.end(DRAIN_MS);
    for (const one of outcomes().filter(({ recoveredMs }) => recoveredMs === null))
      tell(`✗ not recovered from: ${one.kind}, ${one.works.join(", ")}, at ${((one.at - begun) / 1_000).toFixed(1)} s`);
    return {
      level,
      seeds: [SEED],
      minutes: played,
      date: new Date(begun).toISOString().slice(0, 10),
      ...listener.counts,
      outcomes: outcomes(),
      errors: [...listener.errors, ...injector.errors],
      predictedErrors: injector.predictedErrors,
      wrongs: listener.wrongs,
    };
  } finally {
    await setting.close();
  }
}

/** Where nothing runs on the GPU, the death of its process must disturb nobody, and there is no device to destroy. */
function kindsFor(works: readonly Work[]): Kind[] {
  if (works.some(({ wantsGpu }) => wantsGpu)) return [...KINDS];
  return KINDS.flatMap(({ needsGpu = false, ...kind }): Kind[] => {
    if (!needsGpu) return [kind];
    return kind.hits === "all" ? [kind] : [];
  });
}

/** Draws what happens next, and makes it happen. */
class Injector {
  readonly injected: Injected[] = [];
  readonly errors: Report["errors"][number][] = [];
  predictedErrors = 0;
  private readonly random = randomFor("chaos");
  /** Each kind once, in an order of its own, before any comes again. */
  private readonly bag: Kind[] = [];
  private readonly closed = new Map<WorkName, number>();
  private readonly lasting = new Set<Promise<unknown>>();
  private number = 0;

  constructor(
    private readonly setting: Setting,
    private readonly names: readonly WorkName[],
    private readonly kinds: readonly Kind[],
    private readonly level: Level,
    private readonly tell: (line: string) => void,
  ) {}

  async next(): Promise<void> {
    const { least, most } = GAP_MS[this.level];
    await sleep(wholeNumber(this.random, least, most));
    if (this.bag.length === 0) this.bag.push(...shuffled(this.kinds, this.random));
    for (const kind of this.bag) {
      const target = await this.targetFor(kind);
      if (target === null) continue;
      this.bag.splice(this.bag.indexOf(kind), 1);
      await this.inject(kind, target.work, target.hostId, target.stage);
      return;
    }
  }

  isImpatient(share: number): boolean {
    return this.random() < share;
  }

  /** Resolves when no cause of a fault lasts any more. */
  async over(): Promise<void> {
    await Promise.all(this.lasting);
  }

  private async targetFor(kind: Kind): Promise<{ work: WorkName; hostId: string; stage: number } | null> {
    const { setting, random } = this;
    const works = shuffled(
      this.names.filter((name) => {
        if (kind.needsGpu && !this.workOf(name).wantsGpu) return false;
        return !kind.closesTab || Date.now() - (this.closed.get(name) ?? 0) > CLOSES_APART_MS;
      }),
      random,
    );
    for (const work of works) {
      const stages = (await setting
        .pageOf(work)
        .evaluate(`chaos.stages(${JSON.stringify(work)})`)) as unknown as readonly Stage[];
      const able = stages.flatMap(({ hostId, phase, provider }, stage) =>
        phase === "ready" && (!kind.needsGpu || provider === "webgpu") ? [{ hostId, stage }] : [],
      );
      const chosen = able[wholeNumber(random, 0, able.length - 1)];
      if (chosen !== undefined) return { work, ...chosen };
    }
    return null;
  }

  private async inject(kind: Kind, work: WorkName, hostId: string, stage: number): Promise<void> {
    const { setting, random } = this;
    const number = this.number++;
    const page = setting.pageOf(work);
    try {
      const fire = await kind.aim({ setting, random, hostId, page, number });
      const at = Date.now();
      const lasting = (await fire()) as Lasting | undefined;
      if (kind.closesTab) this.closed.set(work, at);
      const works = this.hitBy(kind, work);
      this.tell(`${kind.name}${kind.hits === "one" ? `: ${work}, stage ${stage}` : ""}`);
      const index =
        this.injected.push({
          kind: kind.name,
          at,
          over: at,
          works,
          lasts: lasting?.over !== undefined,
          failed: false,
        }) - 1;
      if (lasting?.over !== undefined) this.wait(kind, index, lasting);
    } catch (error) {
      // The host may have gone of an earlier fault while this one was aimed.
      this.tell(
        `(${kind.name}: ${work}, stage ${stage}: not injected, ${error instanceof Error ? error.message : error})`,
      );
      this.bag.push(kind);
    }
  }

  private wait(kind: Kind, index: number, { over }: Lasting): void {
    const fault = this.injected[index] as Injected;
    const settled = over
      .catch((error: unknown) => ({ code: "untyped", message: String(error) }))
      .then((error) => {
        const predicted = error !== null && (kind.predicts ?? []).includes(error.code);
        if (predicted) this.predictedErrors++;
        if (error !== null && !predicted) {
          this.errors.push({ work: kind.name, at: Date.now(), typed: true, category: "", ...error });
          this.tell(`✗ ${kind.name}: ${error.code}: ${error.message}`);
        }
        this.injected[index] = { ...fault, over: Date.now(), lasts: false, failed: error !== null && !predicted };
        this.lasting.delete(settled);
      });
    this.lasting.add(settled);
  }

  private hitBy({ hits }: Kind, work: WorkName): WorkName[] {
    const { names } = this;
    switch (hits) {
      case "one":
        return [work];
      case "page":
        return names.filter((name) => this.setting.pageOf(name) === this.setting.pageOf(work));
      case "all":
        return [...names];
      case "itself":
        return [];
    }
  }

  private workOf(name: WorkName): Work {
    const work = this.setting.works.find((one) => one.name === name);
    if (work === undefined) throw new Error(`nobody does ${name}`);
    return work;
  }
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

/** Gathers, again and again, what the pages have to tell. */
import { settledWithin, sleep, until } from "../../src/demo/launch/wait.mjs";
import type { Answer, Counts, Told, TypedError } from "./figures.ts";
import type { Setting } from "./setting.ts";

const EVERY_MS = 500;
/** Who waits so long for an answer is named. */
const STANDS_STILL_MS = 30_000;

interface Taken extends Counts {
  readonly results: readonly Answer[];
  readonly events: readonly Told[];
  readonly errors: readonly TypedError[];
  readonly wrongs: readonly { readonly work: string; readonly at: number; readonly what: string }[];
  /** Since when each work waits for an answer. */
  readonly waiting: readonly (readonly [work: string, since: number | null])[];
}

export class Listener {
  readonly answers: Answer[] = [];
  readonly events: Told[] = [];
  readonly errors: TypedError[] = [];
  readonly wrongs: Taken["wrongs"][number][] = [];
  counts: Counts = { tokens: 0, runs: 0, missing: 0, doubled: 0, wrong: 0 };
  private readonly named = new Map<string, number>();
  private waiting: Taken["waiting"] = [];
  private ended = false;
  private readonly listening: Promise<void>;

  constructor(
    private readonly setting: Setting,
    private readonly tell: (line: string) => void,
  ) {
    this.listening = this.listen();
  }

  answered(works: readonly string[]): boolean {
    return works.every((work) => this.answers.some(([of]) => of === work));
  }

  async until(what: string, probe: () => boolean, timeoutMs: number): Promise<void> {
    await until(what, probe, { timeoutMs, everyMs: 100 });
  }

  /** Lets each work come to its end; what does not within the time is missing. */
  async end(withinMs: number): Promise<void> {
    const ends = this.setting.pages.map((page) => page.evaluateWithin(withinMs, "chaos.stop()"));
    await settledWithin(Promise.allSettled(ends), withinMs);
    this.ended = true;
    await this.listening;
    await this.takeAll();
    for (const [work, since] of this.waiting) {
      if (since === null) continue;
      this.counts = { ...this.counts, missing: this.counts.missing + 1 };
      const what = `waits for an answer since ${Math.round((Date.now() - since) / 1_000)} s`;
      this.wrongs.push({ work, at: Date.now(), what });
      this.tell(`✗ ${work}: ${what}`);
    }
  }

  private async listen(): Promise<void> {
    while (!this.ended) {
      await this.takeAll();
      await sleep(EVERY_MS);
    }
  }

  private async takeAll(): Promise<void> {
    const waiting: Taken["waiting"][number][] = [];
    for (const page of this.setting.pages) {
      const taken = (await page.evaluate("chaos.take()").catch((error: unknown) => {
        this.tell(`✗ a page does not answer: ${error}`);
        return undefined;
      })) as Taken | undefined;
      if (taken === undefined) continue;
      this.keep(taken);
      waiting.push(...taken.waiting);
    }
    this.waiting = waiting;
    for (const [work, since] of waiting) {
      if (since === null || Date.now() - since < STANDS_STILL_MS || this.named.get(work) === since) continue;
      this.named.set(work, since);
      this.tell(`  ${work} has waited for an answer for ${STANDS_STILL_MS / 1_000} s`);
    }
  }

  private keep(taken: Taken): void {
    const { counts } = this;
    this.answers.push(...taken.results);
    this.events.push(...taken.events);
    this.errors.push(...taken.errors);
    this.wrongs.push(...taken.wrongs);
    this.counts = {
      tokens: counts.tokens + taken.tokens,
      runs: counts.runs + taken.runs,
      missing: counts.missing + taken.missing,
      doubled: counts.doubled + taken.doubled,
      wrong: counts.wrong + taken.wrong,
    };
    for (const { work, code, message } of taken.errors) this.tell(`✗ ${work}: ${code}: ${message}`);
    for (const { work, what } of taken.wrongs) this.tell(`✗ ${work}: ${what}`);
    for (const told of taken.events) this.tellEvent(told);
  }

  private tellEvent({ work, event }: Told): void {
    if (event.type === "fault") this.tell(`    ${work}, stage ${event.stage}: ${event.category}, ${event.signal}`);
    if (event.type === "recovered")
      this.tell(
        `    ${work}, stage ${event.stage}: recovered in ${Math.round(event.ms)} ms, ${event.replayedRuns} runs again`,
      );
    if (event.type === "bridge") this.tell(`    ${work}: bridge ${event.state}`);
    if (event.type === "checkpointFailed")
      this.tell(`    ${work}, stage ${event.stage}: ${event.error.code}, not stored`);
    if (event.type === "provider") this.tell(`    ${work}, stage ${event.stage}: ${event.from} → ${event.to}`);
    if (event.type === "failed") this.tell(`    ${work}: failed, ${event.error.code}`);
  }
}

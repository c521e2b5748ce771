import { commonCheckpoint } from "./replay.ts";

export interface DurablePointNeeds {
  /** The last run that the journal knows enough of. */
  limit(): number;
  /** What is stored waits for the journal. */
  journalIsBehind(): void;
  moved(run: number): void;
}

/** The last run that survives everything: its state is stored, and the journal knows the ids that lead on from it. */
export class DurablePoint {
  private waiting: { readonly run: number; resolve(): void }[] = [];

  constructor(
    /** Per stage, runs whose state it has stored. */
    private readonly stored: readonly ReadonlySet<number>[],
    private readonly needs: DurablePointNeeds,
    public run: number,
  ) {}

  /** The last run stored by all stages, not after `limit`; -1: none. */
  private common(limit: number): number {
    return commonCheckpoint(this.stored, limit);
  }

  /** `acked`: the last run whose answer the page has. `keepsState` false: there is no state to store. */
  refresh(acked: number, keepsState: boolean): void {
    const stored = keepsState ? this.common(acked) : acked;
    const limit = this.needs.limit();
    if (stored > limit) this.needs.journalIsBehind();
    const run = stored <= limit || !keepsState ? stored : this.common(Math.min(acked, limit));
    if (run > this.run) this.move(run);
  }

  /** A session that is taken up goes on after this run. */
  reset(run: number): void {
    this.run = run;
  }

  private move(run: number): void {
    this.run = run;
    this.needs.moved(run);
    const reached = this.waiting.filter((one) => one.run <= run);
    this.waiting = this.waiting.filter((one) => one.run > run);
    for (const { resolve } of reached) resolve();
  }

  /** Resolves when this run is durable. */
  reached(run: number): Promise<void> {
    if (this.run >= run) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ run, resolve }));
  }
}

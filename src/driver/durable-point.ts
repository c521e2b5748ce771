import { commonCheckpoint } from "./replay.ts";

export interface DurablePointNeeds {
  /** The last run that the journal knows enough of. */
  limit(): number;
  /** What is stored waits for the journal. */
  journalIsBehind(): void;
  moved(run: number): void;
}

/** Which runs' state each stage has stored, and with that the last run that survives everything. */
export class DurablePoint {
  readonly stored: Set<number>[];
  private waiting: { readonly run: number; resolve(): void }[] = [];

  constructor(
    stages: number,
    private readonly needs: DurablePointNeeds,
    public run: number,
  ) {
    this.stored = Array.from({ length: stages }, () => new Set());
  }

  /** The last run stored by all stages, not after `limit`; -1: none. */
  common(limit: number): number {
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

  move(run: number): void {
    this.run = run;
    for (const runs of this.stored) for (const each of runs) if (each < run) runs.delete(each);
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

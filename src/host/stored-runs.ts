import { RESEND_RUNS_MAX } from "../base/limits.ts";

/** The runs after which a stage's state is stored, and those whose checkpoints are on their way to storage. */
export class StoredRuns {
  private runs: number[];
  /** In order; a restore makes them worthless. */
  private readonly storing: { readonly run: number; readonly isComplete: boolean; valid: boolean }[] = [];

  constructor(runs: readonly number[]) {
    this.runs = [...runs];
  }

  /** Ascending. */
  get all(): readonly number[] {
    return [...this.runs];
  }

  get any(): boolean {
    return this.runs.length > 0;
  }

  /** Checkpoints that storage has not answered for. */
  get onTheirWay(): number {
    return this.storing.length;
  }

  /** Stored, or about to be. */
  has(run: number): boolean {
    return this.runs.includes(run) || this.storing.some((checkpoint) => checkpoint.valid && checkpoint.run === run);
  }

  are(runs: readonly number[]): void {
    this.runs = [...runs];
  }

  /** `isComplete`: its record builds on none before it. */
  begin(run: number, isComplete: boolean): void {
    this.storing.push({ run, isComplete, valid: true });
  }

  /** Storage has answered. False: for a checkpoint from before a restore, which counts for nothing. */
  end(run: number): boolean {
    const index = this.storing.findIndex((checkpoint) => checkpoint.run === run);
    const [checkpoint] = index < 0 ? [] : this.storing.splice(index, 1);
    if (checkpoint?.valid !== true) return false;
    // As storage does, which keeps no more than what a stage can be put back to.
    if (checkpoint.isComplete) this.runs = this.runs.filter((stored) => stored >= run - RESEND_RUNS_MAX);
    return true;
  }

  add(run: number): void {
    if (!this.runs.includes(run)) this.runs = [...this.runs, run].sort((a, b) => a - b);
  }

  /** The stage is put back, and what is stored of runs after this one is deleted. */
  goBack(run: number): void {
    for (const checkpoint of this.storing) checkpoint.valid = false;
    this.runs = this.runs.filter((stored) => stored <= run);
  }
}

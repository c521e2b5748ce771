import type { StageTable } from "./stage-table.ts";

/** What a recovery is to be told with, once it has proved itself. */
export interface Proved {
  readonly stage: number;
  readonly ms: number;
  readonly replayedRuns: number;
  readonly restoredRun: number;
  readonly restoreMs: number;
}

/**
 * When a recovery worked: a run was answered that can only have been answered since. Answers from before the fault may
 * still be on their way when the stages are wired anew, and prove nothing.
 */
export class RecoveryProof {
  private readonly lostSince = new Map<number, number>();
  private readonly open = new Map<number, Omit<Proved, "stage" | "ms"> & { readonly since: number }>();
  /** The run whose answer is the proof; null: nothing is to be proved since the last wiring. */
  private due: number | null = null;

  stageLost(stage: number, now: number): void {
    if (!this.lostSince.has(stage)) this.lostSince.set(stage, now);
  }

  /**
   * The stages are wired anew. `lastStageRun`: the last run that the last stage had done before it; null: not known.
   * `lastRun`: the last run that was asked for, all of which may have been answered. `hosts`: a replica may still be lost
   * when the others of its stage go on.
   */
  wired(
    lastStageRun: number | null,
    lastRun: number,
    replayed: (stage: number) => Omit<Proved, "stage" | "ms">,
    hosts: Pick<StageTable, "isReady" | "stageOf"> = { isReady: () => true, stageOf: (host) => host },
  ): void {
    for (const [host, since] of this.lostSince) {
      if (!hosts.isReady(host)) continue;
      this.open.set(host, { since, ...replayed(hosts.stageOf(host)) });
      this.lostSince.delete(host);
    }
    this.due = lastStageRun === null ? lastRun : Math.min(lastRun, lastStageRun + 1);
  }

  /** Answers up to this run have arrived. Null: they prove nothing; else what has been recovered by now. */
  answered(run: number, now: number): readonly Proved[] | null {
    if (this.due === null || run < this.due) return null;
    this.due = null;
    const proved = [...this.open].map(([stage, { since, ...rest }]) => ({ stage, ms: now - since, ...rest }));
    this.open.clear();
    return proved;
  }
}

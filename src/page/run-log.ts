import { byteLengthOf } from "../base/bytes.ts";
import type { ErrorData } from "../base/errors.ts";
import { REPLAY_RUNS_MAX, RESEND_BYTES_MAX, RESEND_RUNS_MAX } from "../base/limits.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { Lineage } from "../protocol/lineage.ts";

type Entry =
  | {
      readonly kind: "run";
      readonly run: number;
      readonly reset: boolean;
      readonly feeds: WireTensors | null;
      readonly error: ErrorData | null;
      readonly bytes: number;
      readonly lineage: Lineage | undefined;
    }
  | {
      readonly kind: "generation";
      readonly base: number;
      readonly last: number;
      readonly promptIds: readonly number[];
      readonly ids: readonly number[];
      readonly lineage: Lineage | undefined;
    };

/** A run as the page feeds it. */
export type FedRun = Pick<Extract<Entry, { kind: "run" }>, "run" | "reset" | "lineage"> & {
  readonly feeds: WireTensors;
};

/** What the page must be able to send again: every run that is not yet safe, in order. */
export class RunLog {
  /** The next run is to be a durable point. */
  wantsCheckpoint = false;
  private kept: Entry[] = [];
  private size = 0;
  private safeRun = -1;
  /** There is state, and it is stored: runs that are not are bounded. */
  isBounded = false;
  /** The last run after which all state is stored. */
  private storedRun = -1;

  /** Runs up to this one are never needed again. */
  get safe(): number {
    return this.safeRun;
  }

  get bytes(): number {
    return this.size;
  }

  /** Runs that a replay would compute; failed ones are only skipped, and a page may feed as many of them as it likes. */
  get replayRuns(): number {
    return this.replayRunsAfter(this.safeRun);
  }

  private replayRunsAfter(run: number): number {
    return this.kept.reduce((sum, entry) => {
      // A generation is kept whole while its end is not safe, but only that end would be computed again.
      if (entry.kind === "generation") return sum + Math.max(0, entry.last - Math.max(entry.base - 1, run));
      return sum + (entry.error === null && entry.run > run ? 1 : 0);
    }, 0);
  }

  get isFull(): boolean {
    // Every run after the safe one may have to be replayed; at levels that keep no state it follows the answers.
    if (this.size > RESEND_BYTES_MAX || this.replayRuns > RESEND_RUNS_MAX) return true;
    return this.isBounded && this.replayRunsAfter(this.storedRun) >= REPLAY_RUNS_MAX;
  }

  /** All state after this run is stored. */
  stored(run: number): void {
    this.storedRun = Math.max(this.storedRun, run);
  }

  /** Whether the run that is fed now is to be a durable point: at the bound none would be left that could be one. */
  asksCheckpoint(): boolean {
    const asks = this.wantsCheckpoint || this.size > RESEND_BYTES_MAX / 2;
    this.wantsCheckpoint = false;
    return asks;
  }

  addRun({ run, reset, feeds, lineage }: FedRun): void {
    const bytes = byteLengthOf(feeds);
    this.size += bytes;
    this.kept.push({ kind: "run", run, reset, feeds, error: null, bytes, lineage });
  }

  /** `runs`: run numbers it used; the last of them may have failed and has given no id. */
  addGeneration(
    base: number,
    promptIds: readonly number[],
    ids: readonly number[],
    runs: number,
    lineage?: Lineage | undefined,
  ): void {
    this.kept.push({ kind: "generation", base, last: base + runs - 1, promptIds, ids, lineage });
  }

  /** Forgets what can no longer be needed. */
  drop(safe: number): void {
    this.safeRun = safe;
    this.stored(safe);
    this.keep(this.kept.filter((entry) => (entry.kind === "run" ? entry.run : entry.last) > safe));
  }

  entries(): readonly Entry[] {
    return this.kept;
  }

  /** The run failed: it keeps its number, is not fed again, and is skipped when the runs around it are replayed. */
  markFailed(run: number, error: ErrorData): void {
    this.keep(
      this.kept.map((entry) =>
        entry.kind === "run" && entry.run === run ? { ...entry, feeds: null, error, bytes: 0 } : entry,
      ),
    );
  }

  feedsFrom(run: number): FedRun[] {
    return this.kept.flatMap((entry) =>
      entry.kind === "run" && entry.run >= run && entry.feeds !== null ? [{ ...entry, feeds: entry.feeds }] : [],
    );
  }

  private keep(entries: Entry[]): void {
    this.kept = entries;
    this.size = entries.reduce((sum, entry) => sum + (entry.kind === "run" ? entry.bytes : 0), 0);
  }
}

import type { FinalStatus, Metrics } from "../../../src/history/entry.ts";
import { PerformanceHistoryTracker } from "../../../src/history/tracker.ts";

/** One row of a hand-written table. */
export interface Row {
  readonly ms?: number;
  readonly status?: FinalStatus | "running" | "aborted";
  readonly model?: string;
  readonly type?: string;
  readonly operation?: string;
  readonly host?: string;
  readonly metrics?: Metrics;
}

/** A tracker with a clock that the test holds, and ids that count. */
export class History {
  now = 1_000_000;
  private ids = 0;
  readonly needs = { now: () => this.now, newId: () => `entry-${++this.ids}` };
  readonly tracker: PerformanceHistoryTracker;

  constructor(maxEntries?: number) {
    this.tracker = new PerformanceHistoryTracker(maxEntries, this.needs);
  }

  start({ operation = "inference", model = "m", host = "h", type = "chrome" }: Row = {}): string {
    return this.tracker.startOperation(operation, model, host, type);
  }

  /** Each row starts where the one before it ended. */
  record(...rows: readonly Row[]): this {
    for (const row of rows) {
      const id = this.start(row);
      this.now += row.ms ?? 0;
      const { status = "completed" } = row;
      if (status === "aborted") this.tracker.abortOperation(id);
      else if (status !== "running") this.tracker.completeOperation(id, row.metrics ?? {}, status);
    }
    return this;
  }

  times(durations: readonly number[], row: Row = {}): this {
    return this.record(...durations.map((ms) => ({ ...row, ms })));
  }
}

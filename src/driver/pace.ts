import { CHECKPOINT_EVERY_RUNS } from "../base/limits.ts";

export interface PaceInput {
  /** The session's option `checkpointIntervalMs`; 0: every run is to be a durable point. */
  readonly intervalMs: number;
  /** What a run takes, milliseconds; 0: not measured yet. */
  readonly runMs: number;
  /** What may have to be done again, milliseconds. */
  readonly replayMs: number;
}

/**
 * Runs from one durable point to the next: as many as the interval takes and as few as it takes for their replay to stay
 * within its bounds, in runs and in milliseconds. At least one.
 */
export function everyRuns({ intervalMs, runMs, replayMs }: PaceInput): number {
  if (intervalMs <= 0) return 1;
  if (runMs <= 0) return CHECKPOINT_EVERY_RUNS;
  const runs = Math.floor(Math.min(intervalMs, replayMs) / runMs);
  return Math.min(CHECKPOINT_EVERY_RUNS, Math.max(1, runs));
}

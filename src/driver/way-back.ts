import { REPLAY_RUNS_MAX } from "../base/limits.ts";
import type { RestoreFrom } from "../protocol/stage.ts";
import { isStoredByAll } from "./replay.ts";

/** What is known when stages must be put back, and what each way would cost. */
export interface WaysBackInput {
  /** Per stage, the runs whose state it has stored. */
  readonly stored: readonly ReadonlySet<number>[];
  /** All runs after this one can be fed again: by the page, or by the driver, which knows a generation's tokens. */
  readonly fedAfter: number;
  /** The last run whose answer the page has. */
  readonly acked: number;
  /** The last run that was asked for. */
  readonly lastRun: number;
  /** Runs that start from initial state. */
  readonly resets: ReadonlySet<number>;
  /** Measured: milliseconds to read stored state and put it back. */
  readonly restoreMs: number;
  /** Measured: milliseconds that this run took in the slowest stage. */
  runMs(run: number): number;
}

/** Stages are put at the state after `run`, which comes from storage or is the initial one, and the runs after it are done again. */
export interface WayBack {
  readonly run: number;
  readonly from: Extract<RestoreFrom, "records" | "initial">;
  /** Expected milliseconds until all is as before. */
  readonly ms: number;
}

/**
 * All ways back, the cheapest first; should one turn out to be damaged, the next is taken. None: the state is lost. Of
 * two that cost the same the newer one comes first: less is kept for it. A replay of more runs than may be un-durable is
 * there for when nothing else is left, however cheap it looks: the bound holds wherever what is stored is whole.
 */
export function waysBack(input: WaysBackInput): readonly WayBack[] {
  const { fedAfter, acked, lastRun, stored, resets, restoreMs } = input;
  const ways: WayBack[] = [];
  let replayMs = 0;
  for (let run = lastRun; run >= Math.max(fedAfter, -1); run--) {
    if (run <= acked) {
      // Before the first run there is only one state.
      if (run < 0 || resets.has(run + 1)) ways.push({ run, from: "initial", ms: replayMs });
      else if (isStoredByAll(stored, run)) ways.push({ run, from: "records", ms: restoreMs + replayMs });
    }
    replayMs += input.runMs(run);
  }
  const isLong = ({ run }: WayBack): number => (lastRun - run > REPLAY_RUNS_MAX ? 1 : 0);
  return ways.sort((a, b) => isLong(a) - isLong(b) || a.ms - b.ms);
}

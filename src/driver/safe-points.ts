import type { RestoreFrom } from "../protocol/stage.ts";
import type { Way } from "./put-back.ts";
import { commonCheckpoint, type Submitted } from "./replay.ts";
import type { RunCosts } from "./run-costs.ts";
import { waysBack } from "./way-back.ts";

export interface WaysInput {
  /** Those that can be done again. */
  readonly runs: Iterable<number>;
  readonly acked: number;
  /** Those of them that need nothing from before them. */
  readonly cuts: ReadonlySet<number>;
  readonly costs: RunCosts;
  readonly hasState: boolean;
  readonly keepsState: boolean;
  /** Nobody who may have stored something is still on the way. */
  readonly isComplete: boolean;
}

/** Of a session whose stages keep state: what is stored, what may be forgotten, and what can be done again. */
export class SafePoints {
  /** Per stage, runs whose state it has stored. */
  readonly stored: Set<number>[];
  /** The last run after which every stage's state is stored. */
  durable: number;
  /** What may be forgotten: the durable point before, for the newest one might turn out to be damaged. */
  safe: number;
  /** The first run of the generation that was asked for last: its tokens are known, so all of it can be fed again. */
  private generationBase = -1;
  /** The last run that only the page can feed. */
  private lastPageRun = -1;

  /** `initialAt`: the stages had initial state after this run. */
  constructor(
    stages: number,
    public initialAt: number,
  ) {
    this.durable = initialAt;
    this.safe = initialAt;
    this.stored = Array.from({ length: stages }, () => new Set());
  }

  submitted({ run, reset, feeds }: Submitted): void {
    if (feeds === null) this.lastPageRun = Math.max(this.lastPageRun, run);
    else if (reset) this.generationBase = Math.max(this.generationBase, run);
  }

  /**
   * False: nothing has moved. `keeps`: there is state, and it is stored; else what is answered is safe. `cut`: what was
   * before the last run that started from initial state cannot be damaged, since nobody needs it.
   */
  move(acked: number, keeps: boolean, cut: number): boolean {
    const { durable, safe } = this;
    const newest = keeps ? commonCheckpoint(this.stored, acked) : acked;
    const before = keeps ? Math.max(cut, commonCheckpoint(this.stored, newest - 1)) : acked;
    this.durable = Math.max(durable, newest, before);
    this.safe = Math.max(safe, before);
    return durable !== this.durable || safe !== this.safe;
  }

  /** Forgets what nothing can begin from any more. `survives`: the last run that does survive everything. */
  prune(survives: number): void {
    const first = Math.min(this.first - 1, survives);
    for (const runs of this.stored) for (const run of runs) if (run < first) runs.delete(run);
  }

  /** Of a session that is taken up, only the state after this run is left, or not even that. */
  goOnAt(run: number, from: RestoreFrom): void {
    this.durable = run;
    this.safe = run;
    this.initialAt = from === "initial" ? run : -1;
  }

  /** The first run that can be done again. */
  get first(): number {
    const after = this.safe + 1;
    return this.generationBase > this.lastPageRun ? Math.min(this.generationBase, after) : after;
  }

  /** Where no state is stored: the state after the safe run is initial, or nobody has it any more. */
  private onlyWay(hasState: boolean): Way {
    const { safe, initialAt } = this;
    return { run: safe, from: hasState && safe !== initialAt ? "lost" : "initial" };
  }

  /** Where stages can be put back to. */
  ways(input: WaysInput): readonly Way[] {
    const { hasState, keepsState } = input;
    // What handles keep may be stored, although this driver has heard of none.
    const mayHaveState = hasState || this.stored.every((runs) => runs.size > 0);
    if (!mayHaveState || !keepsState) return [this.onlyWay(mayHaveState)];
    return this.kept(input);
  }

  private kept({ runs, acked, cuts, costs, isComplete }: WaysInput): readonly Way[] {
    const [first, last] = boundsOf(runs, acked);
    const { restoreMs } = costs;
    const lastRun = Math.max(last, acked);
    const ways = waysBack({
      stored: this.stored,
      fedAfter: first - 1,
      acked,
      lastRun,
      resets: new Set(cuts).add(this.initialAt + 1),
      restoreMs,
      runMs: (run) => costs.of(run),
    });
    // Where no way is left, runs say that the state is lost until one starts anew, for which the session stays.
    return isComplete ? [...ways, { run: acked, from: "lost" }] : ways;
  }
}

/** The first and the last of these runs; of none, the run after `acked`, and `acked`. */
export function boundsOf(runs: Iterable<number>, acked: number): readonly [number, number] {
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  // There may be more of them than a call takes arguments, and they may be out of order.
  for (const run of runs) [first, last] = [Math.min(first, run), Math.max(last, run)];
  return last < 0 ? [acked + 1, acked] : [first, last];
}

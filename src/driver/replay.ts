import type { WireTensors } from "../base/tensor.ts";
import type { Lineage } from "../protocol/lineage.ts";
import type { ReplyTo, StageStatus } from "../protocol/stage.ts";

/** A run that was asked for and is not safe yet. */
export interface Submitted {
  readonly run: number;
  readonly reset: boolean;
  readonly reply: ReplyTo;
  readonly lineage?: Lineage | undefined;
  /** In line for runs that the driver itself feeds; null: the page sends them over the source port. */
  readonly feeds: (() => WireTensors) | null;
}

/** Nothing from before this run is needed for it or for a later one: no state, and nothing that a handle keeps. */
export function isCut({ reset, lineage }: Pick<Submitted, "reset" | "lineage">, stateful: boolean): boolean {
  return (reset || !stateful) && lineage?.live !== true;
}

export interface ReplayInput {
  readonly statuses: readonly (Pick<StageStatus, "run"> & Partial<Pick<StageStatus, "dropped">>)[];
  /** The last run that all stages can be put back to and whose answers the page has. */
  readonly safe: number;
  /** The last run whose answer the page has. */
  readonly acked: number;
  /** Stages hold no outputs for replay (levels that keep no state): everybody starts again after `safe`. */
  readonly restoreAll: boolean;
}

export interface ReplayPlan {
  /** Stages that must be put at `safe` first. */
  readonly restore: readonly number[];
  /** Per stage, the first run whose kept output it sends (again). */
  readonly resendFrom: readonly number[];
  /** The first run whose feeds and head the first stage needs. */
  readonly feedsFrom: number;
}

/**
 * What must be sent again so that every stage gets what it has not done. A lost stage replays alone from its
 * neighbour's kept outputs; where the neighbour was lost too, replay starts further upstream, at the feeds in the end.
 */
export function planReplay({ statuses, safe, acked, restoreAll }: ReplayInput): ReplayPlan {
  const isBack = statuses.map(({ run }) => restoreAll || run === null || run < safe);
  // What the stage before it does not keep any more, that one makes again; a driver before this one may have allowed more.
  for (let stage = statuses.length - 1; stage > 0; stage--)
    if (isBack[stage] && (statuses[stage - 1]?.dropped ?? -1) > safe) isBack[stage - 1] = true;
  const restore = [...statuses.keys()].filter((stage) => isBack[stage]);
  const at = statuses.map(({ run }, stage) => (restore.includes(stage) ? safe : (run ?? safe)));
  return {
    restore,
    resendFrom: at.map((_, stage) => (at[stage + 1] ?? acked) + 1),
    feedsFrom: (at[0] ?? safe) + 1,
  };
}

/** Whether every stage has stored its state after this run. */
export function isStoredByAll(stored: readonly ReadonlySet<number>[], run: number): boolean {
  return stored.every((runs) => runs.has(run));
}

/** The last run stored by every stage, not after `limit`; -1: none. */
export function commonCheckpoint(stored: readonly ReadonlySet<number>[], limit: number): number {
  const [first, ...others] = stored;
  let best = -1;
  for (const run of first ?? []) {
    if (run > best && run <= limit && others.every((runs) => runs.has(run))) best = run;
  }
  return best;
}

/** The stages that gave no answer. */
export function silentOf(answers: readonly (object | null)[]): number[] {
  return answers.flatMap((answer, stage) => (answer === null ? [stage] : []));
}

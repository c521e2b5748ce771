import type { KnownGeneration } from "../protocol/client.ts";
import type { RestoreFrom } from "../protocol/stage.ts";
import { commonCheckpoint } from "./replay.ts";

export interface ResumeInput {
  /** Per stage, the runs whose state it has stored. */
  readonly stored: readonly ReadonlySet<number>[];
  /** What the journal knows of the last generation. */
  readonly generation: KnownGeneration | null;
  /** The last run that the journal calls durable. */
  readonly durableRun: number;
  readonly stateful: boolean;
  readonly keepsState: boolean;
  /** Points that turned out to be damaged. */
  readonly refused: ReadonlySet<number>;
}

export interface ResumePoint {
  readonly run: number;
  readonly from: RestoreFrom;
}

/**
 * Where a session goes on of which only storage is left. Never after a run whose answer nobody knows any more: the state
 * after run `base + i` of a generation is of use only with token i, which that run chose. What is stored after the point
 * belongs to runs that will be done anew.
 */
export function resumePoint(input: ResumeInput): ResumePoint {
  const { stored, generation, durableRun, stateful, keepsState, refused } = input;
  if (!stateful) return { run: durableRun, from: "initial" };
  const running = generation !== null && generation.head.runs === null ? generation : null;
  const limit = running === null ? Number.POSITIVE_INFINITY : lastUsableRun(running);
  const usable = stored.map((runs) => new Set([...runs].filter((run) => !refused.has(run))));
  const run = keepsState ? commonCheckpoint(usable, limit) : -1;
  if (running !== null)
    return run >= running.head.base ? { run, from: "records" } : { run: running.head.base - 1, from: "initial" };
  if (run >= 0) return { run, from: "records" };
  // What was durable is gone, or the level keeps nothing: only a run that starts from initial state can follow.
  return durableRun < 0 && !keepsEnded(generation)
    ? { run: -1, from: "initial" }
    : { run: lastRun(input), from: "lost" };
}

/** The last run of a generation under way that the ids which are known lead on from. */
function lastUsableRun({ head, ids }: KnownGeneration): number {
  return head.base + ids.length - 1;
}

function keepsEnded(generation: KnownGeneration | null): boolean {
  return generation !== null && generation.head.runs !== null;
}

function lastRun({ durableRun, generation }: ResumeInput): number {
  const { base = 0, runs = 0 } = generation?.head ?? {};
  return Math.max(durableRun, base + (runs ?? 0) - 1);
}

import type { ElementType } from "../base/tensor.ts";

/**
 * Names what a handle keeps within its session, by the run that kept it: the state after run n is "n", its output x "n x".
 * Made where runs are numbered, so nothing need be answered before it can be used.
 */
export type ResidentKey = string;

export function stateKey(run: number): ResidentKey {
  return String(run);
}
export function outputKey(run: number, output: string): ResidentKey {
  return `${run} ${output}`;
}
/** The run that kept it. */
export function runOf(key: ResidentKey): number {
  return Number.parseInt(key, 10);
}

/** What a run has to do with kept versions. In band, so that every stage keeps and drops at the same run, in a replay too. */
export interface Lineage {
  /** The state that the run starts from; null: the state after the run before, or initial state after `reset`. */
  readonly from: ResidentKey | null;
  /** The state after the run stays under this run's key until it is dropped. */
  readonly keep: boolean;
  /** These outputs stay in the host that makes them, and do not go to the caller. */
  readonly keepOutputs: readonly string[];
  /** Inputs that are kept outputs. */
  readonly feeds: Readonly<Record<string, ResidentKey>>;
  /** Dropped before the run. */
  readonly drop: readonly ResidentKey[];
  /** Null: the run computes. Else it leaves the state as it is, and its outputs are what is kept under `read`. */
  readonly pass: { readonly read: ResidentKey | null } | null;
  /** Handles keep something from before the run: starting from initial state does not make it unimportant. */
  readonly live: boolean;
}

/** What a stage keeps for a handle. */
export interface KeptTensor {
  readonly stage: number;
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly bytes: number;
}

/** The first stage is fed by the page, which may send anything. */
export function isLineage(value: unknown): value is Lineage {
  if (typeof value !== "object" || value === null) return false;
  const { from, keep, keepOutputs, feeds, drop, pass, live } = value as Record<string, unknown>;
  const texts = (list: unknown): boolean => Array.isArray(list) && list.every((each) => typeof each === "string");
  const text = (one: unknown): boolean => one === null || typeof one === "string";
  const reads = pass === null || (typeof pass === "object" && text((pass as { read?: unknown }).read));
  const flags = typeof keep === "boolean" && typeof live === "boolean";
  return text(from) && flags && reads && texts(keepOutputs) && texts(drop) && isTexts(feeds);
}

function isTexts(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every((each) => typeof each === "string");
}

import type { CostModel } from "../cost-model.ts";
import type { CutSpace } from "../cuts.ts";
import type { Graph } from "../graph.ts";
import type { BrowserEvidence, FamilyEvidence, HostProfile } from "../host-profile.ts";
import type { NarrowCuts } from "../narrow.ts";
import type { StateBinding } from "../types.ts";

/** All that a strategy may look at. */
export interface StrategyInput {
  readonly graph: Graph;
  readonly bindings: readonly StateBinding[];
  readonly space: CutSpace;
  readonly narrow: NarrowCuts;
  readonly model: CostModel;
  /** At least 1 and at most `narrow.shardsFrom(0)`, or 1. */
  readonly shards: number;
  /** Empty: nothing is known of the hosts, they are taken to be alike. */
  readonly hosts: readonly HostProfile[];
  /** Of this model, and of all models of each family. */
  readonly evidence: readonly BrowserEvidence[];
  readonly families: readonly FamilyEvidence[];
}

/** What a strategy decides. */
export interface Choice {
  /** Places of `shards - 1` cuts, ascending. */
  readonly cuts: readonly number[];
  /** For every stage its host, an index of `hosts`; null: in turn. */
  readonly hosts: readonly number[] | null;
  /** How the cuts were chosen, as the end of a sentence without its full stop. */
  readonly reason: string;
  /** For every shard what it is and why it ends where it ends. */
  readonly whys: readonly string[];
}

export type Strategy = (input: StrategyInput) => Choice;

/** The ranges of nodes between cuts. */
export function rangesOf(cuts: readonly number[], count: number): (readonly [from: number, to: number])[] {
  return [...cuts, count].map((to, i) => [cuts[i - 1] ?? 0, to] as const);
}

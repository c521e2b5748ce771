import type { ElementType } from "../base/tensor.ts";
import type { Family } from "./family.ts";

/** Random-access bytes of one stored file. `read` may return a view that is valid until the next call. */
export interface RangeReader {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

export const SHARDING_STRATEGIES = [
  "layer_based",
  "component_based",
  "balanced",
  "hardware_aware",
  "browser_optimized",
] as const;
export type ShardingStrategy = (typeof SHARDING_STRATEGIES)[number];
/** What may be asked for: a strategy, or "auto", which chooses one and says why. */
export const SHARDING_STRATEGY_OPTIONS = [...SHARDING_STRATEGIES, "auto"] as const;
export type ShardingStrategyOption = (typeof SHARDING_STRATEGY_OPTIONS)[number];

/** A graph input or output. Symbolic dimensions keep their name; unknown ones are null. */
export interface ValueSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly (number | string | null)[] | null;
}

/**
 * An output that comes back as an input of the next run and so stays in its host (`present.0.key` → `past_key_values.0.key`).
 * `appendAxis` is set where the graph proves that the output is the input with rows appended along that axis.
 */
export interface StateBinding {
  readonly input: ValueSpec;
  readonly output: string;
  readonly appendAxis: number | null;
  /** Absent: a run adds its rows behind all that there are. */
  readonly written?: RowsWritten;
}

/** Name of an output that Holdfast adds to a shard's graph. */
export const ROWS_WRITTEN = "holdfast/rows_written";
/** Dimensions of each tensor whose shape it tells: [batch, rows, width]. */
export const ROWS_WRITTEN_RANK = 3;

/** What tells which rows of a state a run wrote: all before them are as they were, and none behind them is of use. */
export interface RowsWritten {
  /** int32 [batch] of the shard: rows that each sequence has after the run, less one. */
  readonly lengths: string;
  /** A tensor of the shard whose dimension 1 is the rows that the run wrote of each sequence. */
  readonly attended: string;
}

/** Bytes of one weight: `path` names it in the shard's graph, `file` is "" for the model file, else the external file's path. */
export interface WeightRange {
  readonly path: string;
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export interface ShardWeight extends WeightRange {
  /** Several nodes or a body read it: onnxruntime may ask for it more than once. */
  readonly isShared?: true;
}

export interface ShardSpec {
  readonly index: number;
  /** Names that arrive from upstream (or from the caller, for shard 0), sorted. */
  readonly receives: readonly string[];
  /** Names that leave downstream (or to the caller, for the last shard): own outputs and what is only passed through. */
  readonly emits: readonly string[];
  /** Inputs of the shard's graph that come from `receives` (state inputs are not among them). */
  readonly inputs: readonly string[];
  /** Outputs of the shard's graph that are emitted, are state, or tell which of its rows a run wrote. */
  readonly outputs: readonly string[];
  /** Tensors whose shapes the shard's graph gives out beside them, as one int64 output ROWS_WRITTEN, joined in this order; absent: none. */
  readonly shapes?: readonly string[];
  readonly state: readonly StateBinding[];
  readonly weights: readonly ShardWeight[];
  /** Bytes of weights: the external ranges plus what stays inline in the shard's graph. */
  readonly weightBytes: number;
  readonly nodes: number;
}

/** What a plan expects of one stage. */
export interface StageEstimate {
  readonly weightBytes: number;
  /** Bytes of memory: weights, state, activations. */
  readonly needBytes: number;
  /** Bytes of the largest tensor, weight or activation. */
  readonly largestBytes: number;
  readonly estimatedMs: number;
  /** Sending to the next stage, of the last to the caller. */
  readonly hopMs: number;
  /** An index of the hosts that the plan was made for; null: it was made for hosts of no particular kind. */
  readonly host: { readonly index: number; readonly browserType: string } | null;
  /** What the shard is, and why it ends where it ends. */
  readonly why: string;
}

/** Bytes of one tensor in a typical run. `known`: no size of it was assumed. */
export interface TensorEstimate {
  readonly bytes: number;
  readonly known: boolean;
}

export interface PlanCut {
  /** Between which nodes of the cut space; the same model with the same bindings has the same places. */
  readonly place: number;
  /** Names of what crosses, sorted, and beside each its size. */
  readonly tensors: readonly string[];
  readonly sizes: readonly TensorEstimate[];
}

export interface ShardPlan {
  readonly strategy: ShardingStrategy;
  /** One sentence: why this many shards and these cuts. */
  readonly reason: string;
  /** What the model works on; null: its graph does not tell. */
  readonly family: Family | null;
  readonly shards: readonly ShardSpec[];
  /** One a shard. */
  readonly stages: readonly StageEstimate[];
  /** What a caller feeds and gets; bound state is not among them. */
  readonly feeds: readonly ValueSpec[];
  readonly results: readonly ValueSpec[];
  /** The most shards this model can be cut into. */
  readonly shardsMax: number;
  /** Where the shards meet; length = shards - 1. */
  readonly cuts: readonly PlanCut[];
}

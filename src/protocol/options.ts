import { REPLICAS } from "../base/limits.ts";
import { type FaultToleranceLevel, LEVELS, type RecoveryStrategy } from "../fault/levels.ts";
import type { ShardingStrategyOption } from "../shard/types.ts";

export const PROVIDERS = ["webgpu", "webnn", "wasm"] as const;
export type Provider = (typeof PROVIDERS)[number];

export const PLACES = ["tab", "offscreen"] as const;
/** Where a host lives; with that, what dies together with it. */
export type Place = (typeof PLACES)[number];

/** The seed's status values of an operation. */
export const OPERATION_STATUSES = ["running", "completed", "failed", "recovered"] as const;
export type OperationStatus = (typeof OPERATION_STATUSES)[number];

/** What a page may ask for when it creates a session, defaults filled in. */
export interface SessionOptions {
  /** Number of shards; null: the model runs whole. */
  readonly shards: number | null;
  readonly shardingStrategy: ShardingStrategyOption;
  readonly faultToleranceLevel: FaultToleranceLevel;
  readonly recoveryStrategy: RecoveryStrategy;
  /**
   * At the levels that keep state, it is stored at least so often, milliseconds, and sooner where more than 16 runs or 2 s of
   * replay would be at risk. 0: after every run.
   */
  readonly checkpointIntervalMs: number;
  /** How often a host without work does a probe run, while the service worker is awake anyway, milliseconds. */
  readonly browserHealthCheckIntervalMs?: number;
  /** Steps of recovery in a row for one stage before the session fails. */
  readonly maxRecoveryAttempts: number;
  /** In order of preference; null: what probing finds. */
  readonly executionProviders: readonly Provider[] | null;
  readonly place: Place;
  /** "auto": state found by name stays in the hosts; a map input → output overrides it; {}: everything is fed and returned. */
  readonly stateBindings: "auto" | Readonly<Record<string, string>>;
  /** Level critical: hosts that run each stage and vote, an odd number. */
  readonly replicas?: number;
  /** Level high: the share of runs, 0 to 1, that a second host does as well. */
  readonly spotCheck?: number;
}

/** Hosts that run each stage: those that vote, or one and a checker. */
export function replicasOf({ faultToleranceLevel, replicas = REPLICAS, spotCheck = 0 }: SessionOptions): number {
  const { votes, standbys } = LEVELS[faultToleranceLevel];
  if (votes) return replicas;
  return standbys && spotCheck > 0 ? 2 : 1;
}

import type { ErrorCategory, ErrorData } from "../base/errors.ts";
import type { RecoveryStep, RecoveryStrategy } from "../fault/levels.ts";
import type { Place, Provider } from "./options.ts";

/** One stage of a session as a page may see it. */
export interface StageInfo {
  readonly stage: number;
  /** Level critical: the stage whose runs this host does as well, to vote on them; absent: its own. */
  readonly replicaOf?: number;
  readonly hostId: string;
  readonly place: Place;
  readonly phase: "starting" | "ready" | "lost";
  /** Grows with each host that takes the stage over; fences late answers. */
  readonly attempt: number;
  readonly provider: Provider | null;
  /** Bytes of weights this host holds. */
  readonly weightBytes: number;
  readonly nodes: number;
}

export interface FaultInfo {
  readonly at: number;
  readonly stage: number;
  readonly hostId: string;
  readonly category: ErrorCategory;
  /** What was seen: "frame process gone", "host tab closed", … */
  readonly signal: string;
}

/** What `session.on(listener)` delivers. Times are epoch milliseconds. */
export type SessionEvent =
  | {
      readonly type: "progress";
      readonly phase: "download" | "plan" | "hosts" | "weights";
      readonly loadedBytes: number;
      readonly totalBytes: number | null;
      /** While the model comes in; null where it is not measured. */
      readonly bytesPerSecond: number | null;
      readonly stage: number | null;
    }
  | { readonly type: "stage"; readonly stage: StageInfo }
  /** Detected, at this time, and classified. */
  | ({ readonly type: "fault"; readonly attempt: number } & FaultInfo)
  /** Selected and begun; of steps that are taken at once each is told. */
  | {
      readonly type: "recovering";
      readonly at: number;
      readonly stage: number;
      readonly strategy: RecoveryStrategy;
      readonly step: RecoveryStep;
      readonly attempt: number;
      /** Steps that failed since the stage last did verified work, and that this one falls back from. */
      readonly tried: readonly RecoveryStep[];
    }
  /** The step was taken: a host holds the shard again. Now its state is put back and what is missing done again. */
  | {
      readonly type: "verifying";
      readonly at: number;
      readonly stage: number;
      readonly hostId: string;
      readonly attempt: number;
    }
  /** Verified: a run was answered that can only have been answered since. */
  | {
      readonly type: "recovered";
      readonly at: number;
      readonly stage: number;
      readonly hostId: string;
      readonly ms: number;
      readonly replayedRuns: number;
      readonly restoredRun: number;
      /** Reading stored state and putting it back took so long, milliseconds; 0: none was read. */
      readonly restoreMs: number;
    }
  /**
   * A planned move of stages to other hosts, between two runs and with their state. `failed`: they stay where they are, or a
   * fault came first and is recovered from.
   */
  | {
      readonly type: "migration";
      readonly phase: "begun" | "done" | "failed";
      readonly stages: readonly number[];
      readonly reason: string;
      /** Since it began. */
      readonly ms: number;
    }
  | { readonly type: "provider"; readonly stage: number; readonly from: Provider; readonly to: Provider }
  | { readonly type: "durable"; readonly run: number }
  /** The state after this run could not be stored: the durable point stays where it is, and is tried again. */
  | {
      readonly type: "checkpointFailed";
      readonly stage: number;
      readonly run: number;
      readonly error: ErrorData;
      /** Points that failed since the last one that did not. */
      readonly inARow: number;
    }
  /** Idle for a minute: the hosts are gone, all state is stored. The next run brings hosts again, and tells `resumed`. */
  | { readonly type: "parked" }
  | { readonly type: "resumed"; readonly ms: number }
  | { readonly type: "bridge"; readonly state: "lost" | "restored"; readonly ms: number }
  | { readonly type: "failed"; readonly error: ErrorData };

import type { ErrorData } from "../base/errors.ts";
import type { WireTensor } from "../base/tensor.ts";
import type { ShardSpec } from "../shard/types.ts";
import type { Provider } from "./options.ts";

/** Keeper → frame, over a port that the host page hands in. */
export interface FrameCalls {
  /** Loads onnxruntime. */
  boot: { params: FrameBoot; result: null };
  /** Starts a shard; its weights follow as `weight` events, then `create`. */
  load: { params: ShardLoad; result: null };
  create: { params: null; result: { provider: Provider; createMs: number } };
}
export interface FrameEvents {
  weight: { path: string; bytes: Uint8Array };
  /** Answered by `pong` when the frame's main thread is free. */
  ping: { beat: number };
  /** A checkpoint was stored, or could not be. */
  stored: { run: number; error: ErrorData | null };
  /** Fault hooks of the test build; the normal build ignores them. */
  hold: Hold | null;
}
/** Frame → keeper. */
export interface KeeperCalls {
  /** The stored deltas that lead to the state after `run`, oldest first, verified by digest. */
  records: { params: { run: number }; result: readonly CheckpointRecord[] };
  /** Deletes what is stored after `run`: those runs are given up and will be done anew. */
  forgetAfter: { params: { run: number }; result: null };
}
export interface FrameReports {
  pong: { beat: number };
  runStarted: { run: number; shape: string };
  runEnded: { run: number };
  checkpoint: CheckpointRecord;
  /** The frame itself saw that it cannot go on: a lost device, a poisoned runtime. */
  fault: { signal: string };
  held: { phase: HoldPhase };
}

/** Where the test build can stop a host, so that a fault can be aimed. */
export const HOLD_PHASES = ["dispatch", "compute", "answer", "checkpoint"] as const;
export type HoldPhase = (typeof HOLD_PHASES)[number];
export interface Hold {
  readonly phase: HoldPhase;
  /** The first run at or after this one is held. */
  readonly run: number;
}

export interface FrameBoot {
  readonly wasm: ArrayBuffer;
  readonly glue: string;
  readonly runtime: "wasm" | "webgpu";
  readonly threads: number;
}

/** What probing found: a device or context was really made. */
export interface HostCapability {
  readonly providers: readonly Provider[];
  /** The GPU is emulated on the CPU; never chosen unless the caller lists webgpu. */
  readonly softwareGpu: boolean;
}

export interface ShardLoad {
  readonly graph: Uint8Array;
  readonly spec: ShardSpec;
  /** The pipeline ends here: its outputs go to the caller. */
  readonly last: boolean;
  readonly provider: Provider;
  /** False at levels that keep no state: outputs are not kept for replay, nothing is checkpointed. */
  readonly durable: boolean;
  /** The pipeline has state and several stages: a stage that fails waits until all are put back together. */
  readonly stopsAtFailure: boolean;
  readonly stored: readonly number[];
}

/** Stored state of one stage after one run: full, or the rows appended since the record before it. */
export interface CheckpointRecord {
  readonly run: number;
  /** The run of the record that this one continues; null: complete in itself. */
  readonly previous: number | null;
  readonly tensors: readonly CheckpointTensor[];
}
export interface CheckpointTensor {
  readonly input: string;
  readonly appendAxis: number | null;
  readonly tensor: WireTensor;
}

import type { ErrorData } from "../base/errors.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { ShardSpec } from "../shard/types.ts";
import type { ResidentKey } from "./lineage.ts";
import type { Provider } from "./options.ts";

/** Keeper → frame, over a port that the host page hands in. */
export interface FrameCalls {
  /** Loads onnxruntime. */
  boot: { params: FrameBoot; result: { speed: MeasuredSpeed | null } };
  /** Starts a shard; its weights follow, then `create`. */
  load: { params: ShardLoad; result: null };
  /** Answered once it is taken in, so that the keeper does not run ahead. */
  weight: { params: WeightPiece; result: null };
  /** `askedAgain`: nothing was made, since onnxruntime asked again for a weight that was gone; load with all weights kept. */
  create: { params: null; result: { askedAgain: boolean } };
  /** Does a run again whose outputs are known, if nothing else is under way. */
  probe: { params: null; result: { verdict: ProbeVerdict } };
  /** A standby becomes its stage's host. `stored`: runs whose state is stored; null: it was its host before. */
  takeOver: { params: { stored: readonly number[] | null }; result: null };
}
export interface FrameEvents {
  /** To a standby: a record of its stage was stored, and it is to be at hand when the stage is taken over. */
  warm: { record: CheckpointRecord };
  /** To a standby: a run to do for practice, whose records it has. What was never run is slow the first times. */
  practise: RunSample;
  /** Records of these runs are worth nothing any more. */
  cool: { runs: readonly number[] };
  /** Answered by `pong` when the frame's main thread is free. */
  ping: { beat: number };
  /** A checkpoint was stored, or could not be. */
  stored: { run: number; error: ErrorData | null };
  /** Fault hooks of the test build; the normal build ignores them. */
  hold: Hold | null;
}
/** Frame → keeper. */
export interface KeeperCalls {
  /** The stored deltas that lead to the state after `run`, oldest first, verified by digest; "warm": the frame has them. */
  records: { params: { run: number }; result: readonly CheckpointRecord[] | "warm" };
  /** Deletes what is stored after `run`: those runs are given up and will be done anew. */
  forgetAfter: { params: { run: number }; result: null };
}
export interface FrameReports {
  pong: { beat: number; resources: HostResources };
  /** onnxruntime is taking the weights: a sign of life of a large shard, sent from within a call that blocks the frame. */
  weightsTaken: null;
  runStarted: { run: number; shape: string };
  runEnded: { run: number };
  /** At most once a second; no message a run. */
  stageTimes: StageTimes;
  checkpoint: CheckpointRecord;
  /** The frame itself saw that it cannot go on: a lost device, a poisoned runtime. */
  fault: { signal: string };
  held: { phase: HoldPhase };
}

/** What became of a probe run. "unknown": there is none to compare with, or the host is at work. */
export type ProbeVerdict = "same" | "differs" | "unknown";

/** What a host holds in memory. */
export interface HostResources {
  /** Resident state, and outputs that are kept until they are safe. */
  readonly tensorBytes: number;
  /** JavaScript heap; null where the browser does not say. */
  readonly heapBytes: number | null;
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
  /** The provider whose speed is to be measured; null: it is known, or there is no time for it. */
  readonly measure: Provider | null;
}

/** Which browser program a host runs in: half of the key of everything that is measured of it. */
export interface BrowserIdentity {
  /** "chrome", "edge", "firefox", or what the browser calls itself in lower case. */
  readonly type: string;
  /** As the browser tells it, the major version at least; "" when it does not. */
  readonly version: string;
}

/** What a host reports of itself when it boots. */
export interface HostCapability {
  readonly browser: BrowserIdentity;
  /** Those that were asked for and work: a device or context was really made. */
  readonly providers: readonly Provider[];
  /** The GPU is emulated on the CPU; never chosen unless the caller lists webgpu. */
  readonly softwareGpu: boolean;
  /** What a device of the GPU may be made with, bytes; null where there is none or none was asked for. */
  readonly gpuLimits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number } | null;
  /** Threads that a host computes with. */
  readonly threads: number;
  /** Logical processors of the device; all hosts share them. */
  readonly cores: number;
  /** GiB of the device as the browser tells it, rounded and capped; null where it does not. */
  readonly memoryGiB: number | null;
}

/** Measured with a small matrix product on the host's provider. */
export interface MeasuredSpeed {
  /** Floating-point operations per millisecond. */
  readonly flopsPerMs: number;
  /** Bytes of weights read per millisecond. */
  readonly bytesPerMs: number;
}

/** A capability report as the pool keeps it: the newest of each browser type and provider. */
export interface HostReport {
  readonly provider: Provider;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly capability: HostCapability;
  /** The last that was measured, and when. */
  readonly speed: (MeasuredSpeed & { readonly at: number }) | null;
}

/** Computation times of one stage since its last report. Milliseconds. */
export interface StageTimes {
  readonly runs: number;
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
}

/** Bytes of a weight of `length` bytes, from `offset` on; the pieces of one weight come in order. */
export interface WeightPiece {
  readonly path: string;
  readonly length: number;
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** False: a large one is freed as soon as onnxruntime has copied it. */
  readonly isKept: boolean;
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
  /** Some stage of the pipeline has state: all of them make durable points together. */
  readonly stateful: boolean;
  readonly stored: readonly number[];
  /** Other hosts do the same runs: answers carry a digest of what they leave here. */
  readonly votes?: boolean;
}

/**
 * What one stage holds after one run: its state, and the versions that handles keep. A version is immutable and stored
 * once, as the rows that it has beyond the version it continues; so what branches share is stored once as well.
 */
export interface CheckpointRecord {
  readonly run: number;
  /** The run of the record before, where versions of this one are stored there or continue some; null: complete in itself. */
  readonly previous: number | null;
  /** The version that is the state after `run`; null: the initial state. */
  readonly state: VersionId | null;
  /** What handles keep, in the order in which they were made. */
  readonly kept: readonly KeptVersion[];
  /** The versions that no record before this one holds. */
  readonly versions: readonly VersionRecord[];
  /** For standbys, and not stored. */
  readonly sample?: RunSample;
}
/** A run that was done: from the state after run `after`, of which there is a record, with these inputs beside it. */
export interface RunSample {
  readonly after: number;
  readonly inputs: WireTensors;
}
/** Names one version within its session: the state after run n is "n", its output x is "n x". */
export type VersionId = string;
export interface KeptVersion {
  readonly key: ResidentKey;
  /** null: the initial state. */
  readonly version: VersionId | null;
}
export interface VersionRecord {
  readonly version: VersionId;
  /** Its appended rows continue those of this version, in this record before it or in an earlier one; null: they are whole. */
  readonly base: VersionId | null;
  readonly tensors: readonly CheckpointTensor[];
}
export interface CheckpointTensor {
  readonly input: string;
  readonly appendAxis: number | null;
  /** The tensor's rows go here: those of the base from `from` on are gone, `size` rows there are. Absent: behind all of the base's. */
  readonly at?: { readonly from: number; readonly size: number };
  readonly tensor: WireTensor;
}

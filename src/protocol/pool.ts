import type { ErrorData } from "../base/errors.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { GenerationHead, KnownGeneration, OwnSession } from "./client.ts";
import type { SessionEvent, StageInfo } from "./events.ts";
import type { HostCapability, HostResources, MeasuredSpeed, StageTimes } from "./host.ts";
import type { OperationStatus, Provider, SessionOptions } from "./options.ts";
import type { AvoidedProvider, FailedHost, KnownBrowsers, MovedHost, OriginNews } from "./origin.ts";
import type { PlanningInput } from "./planning.ts";

// Service worker ↔ host page: JSON over a runtime port. Ports and model bytes never pass here.

/** What every message of a host's life carries: late ones of an earlier attempt are ignored by both sides. */
export interface Lease {
  readonly hostId: string;
  readonly attempt: number;
}

export interface PoolToHost {
  boot: Lease & {
    /** Null: a spare, which serves nobody yet. */
    origin: string | null;
    providers: readonly Provider[] | null;
    gpuLosses: number;
    /** Providers whose speed is to be measured, if it is one of them that the host takes. */
    measure: readonly Provider[];
    /** Not to be taken now. */
    avoid: readonly AvoidedProvider[];
  };
  /** The model's bytes come over a port; this says how to cut it once they are stored. */
  ingest: Lease & {
    sessionId: string;
    origin: string;
    options: SessionOptions;
    model: string;
    planning: PlanningInput;
  };
  /** `bootedAs`: the attempt of its boot, which is an earlier one where the host was a spare. */
  load: Lease & {
    bootedAs: number;
    origin: string;
    sessionId: string;
    stage: number;
    planId: string;
    durable: boolean;
    /** It is to follow the stage's stored state and wait. */
    standby: boolean;
    /** So many hosts run each stage and vote: `stage` counts them all, the first of each stage first. Absent: one. */
    replicas?: number;
  };
  /** Somebody cannot reach this host; answered by `alive` where page and keeper live. */
  ask: Lease;
  /** A probe run, if the host is idle. Only a host that is not well answers, with a fault. */
  probe: Lease;
  close: { hostId: string };
}

export interface HostToPool {
  hello: { place: "tab" | "offscreen"; hosts: readonly (Lease & { ready: boolean })[] };
  booted: Lease & { provider: Provider; capability: HostCapability; speed: MeasuredSpeed | null };
  /** No provider that the caller listed works here. */
  bootRefused: Lease & { error: ErrorData };
  planned: Lease & { sessionId: string; planId: string; plan: PlanSummary };
  ingestFailed: Lease & { sessionId: string; error: ErrorData };
  ready: Lease & { provider: Provider; weightBytes: number; ms: number };
  loadFailed: Lease & { error: ErrorData };
  fault: Lease & { signal: string };
  /** For how long the host has had no run; 0 in the middle of one, when it may well have no time for anybody. */
  alive: Lease & { idleMs: number };
  /** At most one in RESOURCE_REPORT_MS, and only of what changed. */
  resources: Lease & { resources: HostResources };
  /** At most once a second, while runs are made or just after. */
  stageTimes: Lease & { times: StageTimes };
  progress: Lease & {
    sessionId: string;
    phase: "download" | "plan" | "weights";
    loadedBytes: number;
    totalBytes: number | null;
    bytesPerSecond: number | null;
  };
}

/** What a host page's keeper asks of the pool, which alone knows what sessions need. */
export interface HostCalls {
  /** Evicts what nobody uses until `bytes` fit for the file `key`; throws QUOTA_EXCEEDED when they cannot. */
  makeRoom: { params: { key: string; bytes: number }; result: null };
}

// Service worker ↔ driver (relayed by the bridge frame's main thread, which knows the origin from the browser).

export interface SessionInfo {
  readonly sessionId: string;
  /** Proves to the pool that a later attach comes from the session's owner. */
  readonly secret: string;
  readonly plan: PlanSummary;
  readonly options: SessionOptions;
  readonly stages: readonly StageInfo[];
}

/** A page, as the browser told its bridge. Checked at every call: a page may leave out `hello`. */
export interface Caller {
  readonly bridgeId: string;
  readonly origin: string;
  /** The origin of a foreign page around it. */
  readonly framedBy: string | null;
}

/** Token ids for the journal. An entry that overlaps what is known overwrites it. */
export interface TokensEntry {
  readonly durableRun: number;
  /** Index of the first of `ids`. */
  readonly base: number;
  /** Not null: a new generation begins. */
  readonly promptIds: readonly number[] | null;
  readonly ids: readonly number[];
  readonly generation: GenerationHead;
}

export interface PoolCalls {
  /** Throws PERMISSION_DENIED when the origin may not use Holdfast. Asks the user when it is not known. */
  hello: { params: Caller; result: null };
  openSession: { params: Caller & { model: string; options: SessionOptions; ingestId: string }; result: SessionInfo };
  /** The session's stages as they are now. The caller becomes the owner when the last owner is gone. */
  /** `known`: the hosts as a driver that had the session before was last told of them. */
  attachSession: {
    params: Caller & { sessionId: string; secret: string; known?: readonly StageInfo[] };
    result: SessionInfo;
  };
  /**
   * As `attachSession`, for a page that has only the id: the owner must be gone. `durableRun`: what the journal has of it.
   */
  resumeSession: {
    params: Caller & { sessionId: string; ingestId: string };
    result: SessionInfo & { readonly durableRun: number; readonly generation: KnownGeneration | null };
  };
  /** The caller's origin's. */
  listSessions: { params: Caller; result: readonly OwnSession[] };
  /** Resolves once they are in storage. */
  journal: { params: { bridgeId: string; sessionId: string; entry: TokensEntry }; result: null };
  /** Runs up to this one are stored; resolves once the journal says so. */
  durable: { params: { bridgeId: string; sessionId: string; run: number }; result: null };
  /** An idle session gives its hosts back; an attach brings it hosts again. */
  parkSession: { params: { bridgeId: string; sessionId: string }; result: null };
  releaseSession: { params: { bridgeId: string; sessionId: string }; result: null };
  abortOpen: { params: { ingestId: string }; result: null };
  originStatus: { params: Caller & { known: KnownBrowsers }; result: OriginNews };
  /** The page found a host of its site to have failed: what recovers it is the same as for every other fault. */
  failHost: { params: Caller & { hostId: string; signal: string }; result: FailedHost };
  /** A host of the site's is to hand its stage to another one, between two runs and with its state. */
  moveHost: { params: Caller & { hostId: string }; result: MovedHost };
}

/** Pool → driver. */
export interface PoolEvents {
  session: { sessionId: string; event: SessionEvent };
  progress: { ingestId: string; event: SessionEvent };
  /** Where the model's bytes are to go. */
  ingestAt: { ingestId: string; sessionId: string; hostId: string };
  /** Stand between two runs, all state stored, without ports, and say `still`: hosts are about to change. */
  standStill: { sessionId: string };
  /** Make all that was done durable and say `settled`: this extension is about to be replaced. */
  settle: { sessionId: string };
}
/** Driver → pool. */
export interface DriverReports {
  /** The stages answered a run since they were wired: whatever was recovered before then works. */
  verified: { sessionId: string };
  settled: { sessionId: string };
  /** `is` false: it cannot stand still now, and goes on with the hosts that it has. */
  still: { sessionId: string; is: boolean };
  /** Work that lasts: begun, or ended so. One id however often it is told. */
  operation: { sessionId: string; operationId: string; type: "generation"; status: OperationStatus };
  /** These hosts take no ports, or do not answer over them, time and again: is there anybody? */
  unreachable: { sessionId: string; hosts: readonly Lease[] };
  /** This host said something else of a run than the other replicas of its stage. */
  outvoted: { sessionId: string; host: Lease; run: number };
}

/** Port hand-over: bridge frame → service worker → host page, by `postMessage` with the ports attached. */
export interface Handover {
  readonly holdfast: "wire" | "ingest";
  readonly bridgeId: string;
  readonly sessionId: string;
  readonly hostId: string;
  readonly attempt: number;
}

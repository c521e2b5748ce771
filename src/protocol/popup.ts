import type { ErrorCategory } from "../base/errors.ts";
import type { FaultToleranceLevel, RecoveryStrategy } from "../fault/levels.ts";
import type { FaultInfo, StageInfo } from "./events.ts";
import type { HostReport } from "./host.ts";
import type { Place, Provider } from "./options.ts";

/** The seed's status values of a browser (our host). */
export type HostStatus = "initialized" | "running" | "degraded" | "failed" | "recovering" | "closed";

export interface HostSummary {
  readonly hostId: string;
  readonly place: Place;
  readonly status: HostStatus;
  readonly origin: string;
  readonly sessionId: string;
  readonly stage: number;
  readonly attempt: number;
  readonly provider: Provider | null;
  readonly weightBytes: number;
  readonly openedAt: number;
  /** The newest of its browser and provider. */
  readonly report: HostReport | null;
}

/** A host that waits to take a stage over: a spare any, a standby its own. */
export interface SpareSummary {
  readonly hostId: string;
  readonly provider: Provider;
  readonly phase: "waiting" | "starting" | "ready";
  /** The stage that it alone is for; null: a spare. */
  readonly standby: { readonly sessionId: string; readonly stage: number; readonly loaded: boolean } | null;
}

export interface SessionSummary {
  readonly sessionId: string;
  readonly origin: string;
  readonly model: string;
  readonly status: "opening" | "live" | "resuming" | "parked" | "paused" | "closing";
  readonly level: FaultToleranceLevel;
  readonly strategy: RecoveryStrategy;
  readonly durableRun: number;
  readonly tokens: number;
  /** Bytes of stored state; null where it was not asked for. */
  readonly stateBytes: number | null;
  readonly stages: readonly StageInfo[];
}

export interface RefusalSummary {
  readonly at: number;
  readonly origin: string;
  readonly code: string;
  readonly reason: string;
}

/** How much is known of earlier operations. */
export interface HistorySummary {
  readonly totalEntries: number;
  readonly successfulEntries: number;
  /** 0 to 1 over finished operations; null: none. */
  readonly successRate: number | null;
  readonly operationTypes: readonly string[];
}

export interface RepairSummary {
  readonly at: number;
  readonly kind: string;
  /** Transactions that could not be had back. */
  readonly lost: number;
}

export interface PoolStatus {
  readonly hosts: readonly HostSummary[];
  readonly spares: readonly SpareSummary[];
  readonly sessions: readonly SessionSummary[];
  /** Newest first, bounded. */
  readonly faults: readonly (FaultInfo & {
    readonly sessionId: string;
    readonly category: ErrorCategory;
    readonly recoveredMs: number | null;
  })[];
  readonly refusals: readonly RefusalSummary[];
  /** Damage that starts found in the stored journal, and repaired. */
  readonly repairs: readonly RepairSummary[];
  readonly history: HistorySummary;
  readonly consents: readonly { readonly origin: string; readonly allowed: boolean; readonly at: number }[];
}

/** A model in the store: the files of one plan. */
export interface StoredModel {
  readonly name: string;
  readonly digests: readonly string[];
  readonly bytes: number;
  readonly lastUsedAt: number;
  /** A session needs it: it cannot be deleted now. */
  readonly inUse: boolean;
  /** Sites that sent it themselves; empty when it came over a public URL. */
  readonly sentBy: readonly string[];
}

export interface StoreStatus {
  readonly quotaBytes: number;
  readonly usedBytes: number;
  /** The browser does not clear it when the disk is full. */
  readonly persisted: boolean;
  /** The last used first. */
  readonly models: readonly StoredModel[];
}

/** Messages of the extension's own pages (`runtime.sendMessage`), with what each answers. */
export interface PopupCalls {
  status: { params: null; result: PoolStatus };
  /** The user's answer in the consent window. */
  consent: { params: { origin: string; allowed: boolean }; result: null };
  withdraw: { params: { origin: string }; result: null };
  /** The transaction log as JSON, in the seed's form. */
  exportLog: { params: null; result: string };
  closeSession: { params: { sessionId: string }; result: null };
  store: { params: null; result: StoreStatus };
  deleteModel: { params: { digests: readonly string[] }; result: null };
  setStoreQuota: { params: { bytes: number }; result: null };
}
export type PopupMessage = {
  readonly [M in keyof PopupCalls]: { readonly holdfast: M; readonly params: PopupCalls[M]["params"] };
}[keyof PopupCalls];

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

export interface SessionSummary {
  readonly sessionId: string;
  readonly origin: string;
  readonly model: string;
  readonly status: "opening" | "live" | "parked" | "paused" | "closing";
  readonly level: FaultToleranceLevel;
  readonly strategy: RecoveryStrategy;
  readonly durableRun: number;
  readonly tokens: number;
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

export interface PoolStatus {
  readonly hosts: readonly HostSummary[];
  readonly sessions: readonly SessionSummary[];
  /** Newest first, bounded. */
  readonly faults: readonly (FaultInfo & {
    readonly sessionId: string;
    readonly category: ErrorCategory;
    readonly recoveredMs: number | null;
  })[];
  readonly refusals: readonly RefusalSummary[];
  readonly history: HistorySummary;
  readonly consents: readonly { readonly origin: string; readonly allowed: boolean; readonly at: number }[];
}

/** Messages of the extension's own pages (`runtime.sendMessage`), with what each answers. */
export interface PopupCalls {
  status: { params: null; result: PoolStatus };
  /** The user's answer in the consent window. */
  consent: { params: { origin: string; allowed: boolean }; result: null };
  withdraw: { params: { origin: string }; result: null };
  closeSession: { params: { sessionId: string }; result: null };
}
export type PopupMessage = {
  readonly [M in keyof PopupCalls]: { readonly holdfast: M; readonly params: PopupCalls[M]["params"] };
}[keyof PopupCalls];

import type { ErrorCategory } from "../base/errors.ts";
import type { GenerationHead } from "../protocol/client.ts";
import type { FaultInfo } from "../protocol/events.ts";
import type { Place, Provider, SessionOptions } from "../protocol/options.ts";
import type { HostStatus, RefusalSummary } from "../protocol/popup.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { BrowserChange, BrowserMove, BrowserRecord } from "./browser-record.ts";
import type { IdList } from "./id-list.ts";
import type { LogDamage } from "./log-check.ts";
import type { Stamp } from "./log-record.ts";

/** What is known of a host when it is opened. */
export interface HostRecord {
  readonly hostId: string;
  readonly place: Place;
  /** The browser that it runs in. */
  readonly browserType?: string;
  /** Null in the offscreen document, and until the tab is open. */
  readonly tabId: number | null;
  readonly origin: string;
  readonly sessionId: string;
  readonly stage: number;
  readonly status: HostStatus;
  readonly openedAt: number;
}

/** A host as the journal knows it: the seed's browser instance, with what Holdfast adds to it. */
export type PoolHost = HostRecord & BrowserRecord;

/** What a standby waits for: to take this stage over. `loaded`: it holds the shard. */
export interface StandbyFor {
  readonly sessionId: string;
  readonly stage: number;
  readonly origin: string;
  readonly loaded: boolean;
  /** It does not wait: it races with the host that is to come back, and the stage is whose shard is there first. */
  readonly isRival?: true;
  /** For a planned move of the stage, and not for its loss. */
  readonly moves?: true;
}

/**
 * A host that carries no stage, with the runtime loaded. A spare holds no shard either: it has computed for nobody, so it may
 * serve anybody. A standby is one stage's, and never anything else again. Always in a tab.
 */
export interface SpareRecord {
  readonly hostId: string;
  /** Null until the tab is open. */
  readonly tabId: number | null;
  readonly browserType: string;
  readonly provider: Provider;
  /** What it is booted as; whoever takes it gets a higher one. */
  readonly attempt: number;
  /** `waiting`: its page is there, its frame is not yet. */
  readonly phase: "waiting" | "starting" | "ready";
  readonly openedAt: number;
  /** Absent: a spare. */
  readonly standby?: StandbyFor;
}

/** Damage that a start found in the stored journal. */
export interface RepairRecord extends LogDamage {
  readonly at: number;
}

export interface StageRecord {
  readonly hostId: string;
  readonly attempt: number;
  readonly phase: "starting" | "ready" | "lost";
  readonly provider: Provider | null;
  readonly weightBytes: number;
}

/** `resuming`: parked, and its hosts are being opened again. */
export type SessionStatus = "opening" | "live" | "resuming" | "parked" | "paused" | "closing";

export interface SessionRecord {
  readonly sessionId: string;
  /** Proves ownership at an attach; never leaves the extension but to the page that opened the session. */
  readonly secret: string;
  readonly origin: string;
  readonly model: string;
  readonly options: SessionOptions;
  readonly status: SessionStatus;
  readonly bridgeId: string;
  /** The client library's name for the call that opened it. */
  readonly openId: string;
  /** When the owner's bridge was last seen to be gone; null while it lives. */
  readonly ownerLostAt: number | null;
  readonly planId: string | null;
  readonly plan: PlanSummary | null;
  /** At level critical, all replicas: the first of each stage, then the second of each, and so on. */
  readonly stages: readonly StageRecord[];
  readonly gpuLosses: number;
  readonly durableRun: number;
  /** The generation under way or last ended: its prompt and the ids it emitted. */
  readonly promptIds: readonly number[];
  readonly ids: IdList;
  /** How it is made and whether it has ended; left out where none began, and in journals of older versions. */
  readonly generation?: GenerationHead;
  readonly changedAt: number;
}

export interface FaultRecord extends FaultInfo {
  readonly sessionId: string;
  readonly category: ErrorCategory;
  readonly recoveredMs: number | null;
}

export interface PoolState {
  /** Those that carry stages. */
  readonly hosts: Readonly<Record<string, PoolHost>>;
  /** By host id; a host is in one of the two. Absent in what earlier builds stored. */
  readonly spares?: Readonly<Record<string, SpareRecord>>;
  readonly sessions: Readonly<Record<string, SessionRecord>>;
  readonly consents: Readonly<Record<string, { readonly allowed: boolean; readonly at: number }>>;
  readonly faults: readonly FaultRecord[];
  readonly refusals: readonly RefusalSummary[];
  /** Newest first, bounded. */
  readonly repairs: readonly RepairRecord[];
}

export const EMPTY_POOL: PoolState = { hosts: {}, sessions: {}, consents: {}, faults: [], refusals: [], repairs: [] };

/** Which stage of the plan a session's host of this number runs: the first of each stage come first, then the other replicas. */
export function planStage({ plan }: Pick<SessionRecord, "plan">, host: number): number {
  const count = plan?.shards.length ?? 0;
  return count === 0 ? host : host % count;
}

/** Whether the pool has such a host, be it at work or waiting. */
export function isHost({ hosts, spares }: Pick<PoolState, "hosts" | "spares">, hostId: string): boolean {
  return hosts[hostId] !== undefined || spares?.[hostId] !== undefined;
}

/** A stage of a session, and the host that is to run it: the pool's form of `add_model_to_browser`. */
export interface StageAssignment {
  readonly sessionId: string;
  readonly stage: number;
  readonly hostId: string;
  readonly attempt: number;
}

/** The seed's transaction log: what happened, in the seed's words where it has them. */
export type TransactionBody =
  | { readonly action: "add_browser"; readonly data: HostRecord }
  | {
      readonly action: "update_browser_status";
      readonly data: { readonly hostId: string; readonly status: HostStatus; readonly tabId?: number };
    }
  | { readonly action: "remove_browser"; readonly data: { readonly hostId: string } }
  /** A spare that is new or has come on, or a host that begins anew as one. `add_browser` of the same id takes it. */
  | { readonly action: "set_spare"; readonly data: SpareRecord }
  | { readonly action: "remove_spare"; readonly data: { readonly hostId: string } }
  | BrowserChange
  | BrowserMove
  | { readonly action: "repair_log"; readonly data: LogDamage }
  | { readonly action: "add_model_to_browser"; readonly data: StageAssignment }
  | {
      readonly action: "stage_ready";
      readonly data: {
        readonly sessionId: string;
        readonly stage: number;
        readonly provider: Provider;
        readonly weightBytes: number;
      };
    }
  | { readonly action: "stage_fault"; readonly data: FaultRecord }
  | {
      readonly action: "stage_recovered";
      readonly data: { readonly sessionId: string; readonly stage: number; readonly ms: number };
    }
  | { readonly action: "open_session"; readonly data: SessionRecord }
  | {
      readonly action: "plan_session";
      readonly data: { readonly sessionId: string; readonly planId: string; readonly plan: PlanSummary };
    }
  | {
      readonly action: "update_session";
      readonly data: { readonly sessionId: string; readonly at: number } & Partial<
        Pick<SessionRecord, "status" | "bridgeId" | "secret" | "ownerLostAt" | "gpuLosses" | "durableRun" | "options">
      >;
    }
  | {
      readonly action: "add_tokens";
      readonly data: {
        readonly sessionId: string;
        readonly durableRun: number;
        readonly base: number;
        readonly promptIds: readonly number[] | null;
        readonly ids: readonly number[];
        readonly generation?: GenerationHead;
      };
    }
  | { readonly action: "remove_session"; readonly data: { readonly sessionId: string } }
  | {
      readonly action: "set_consent";
      readonly data: { readonly origin: string; readonly allowed: boolean; readonly at: number };
    }
  | { readonly action: "remove_consent"; readonly data: { readonly origin: string } }
  | { readonly action: "refuse"; readonly data: RefusalSummary };

export type Transaction = TransactionBody & Stamp;

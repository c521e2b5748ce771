import type { HostReports } from "../history/host-reports.ts";
import type { PerformanceHistoryTracker } from "../history/tracker.ts";
import type { Place } from "../protocol/options.ts";
import type { PoolEvents, PoolToHost } from "../protocol/pool.ts";
import type { PoolState, TransactionBody } from "../state/pool-state.ts";

/** What was measured, and outlives the service worker. */
export interface PoolHistory {
  readonly tracker: PerformanceHistoryTracker;
  readonly reports: HostReports;
  /** Something in it is new and to be stored soon. */
  changed(): void;
}

/** Everything the pool needs from the browser; tests and the simulator give their own. */
export interface PoolNeeds {
  readonly journal: { readonly state: PoolState; append(body: TransactionBody): Promise<void> };
  readonly history: PoolHistory;
  /** Opens a host's page; resolves with its tab (null in the offscreen document). */
  openPage(hostId: string, place: Place): Promise<number | null>;
  closePage(host: { readonly hostId: string; readonly place: Place; readonly tabId: number | null }): Promise<void>;
  /** Brings a page back whose process died. False: there is no such tab any more. */
  reloadPage(tabId: number): Promise<boolean>;
  closeOffscreen(): Promise<void>;
  /** Tabs of hosts' pages, those too whose process died or that were discarded. */
  hostTabs(): Promise<readonly { readonly hostId: string; readonly tabId: number; readonly frozen: boolean }[]>;
  /** Hosts whose page is alive, as the browser says. */
  livePages(): Promise<{ readonly hostIds: ReadonlySet<string>; readonly offscreen: boolean }>;
  liveBridges(): Promise<ReadonlySet<string>>;
  toHost<E extends keyof PoolToHost>(hostId: string, name: E, payload: PoolToHost[E]): void;
  toBridge<E extends keyof PoolEvents>(bridgeId: string, name: E, payload: PoolEvents[E]): void;
  /** Throws MODEL_DELETED when the plan, or a file that it needs, is no longer in the model store. */
  checkModel(planId: string): Promise<void>;
  forgetCheckpoints(sessionId: string): Promise<void>;
  /** Sessions of which checkpoints are stored. */
  storedSessions(): Promise<readonly string[]>;
  /** Payload bytes of all checkpoints of a session. */
  storedBytes(sessionId: string): Promise<number>;
  /** Asks the user; resolves with the answer, or null when the question was dismissed. */
  askConsent(origin: string): Promise<boolean | null>;
  /** Wakes the pool after this many milliseconds, even from sleep; one alarm a name. */
  setAlarm(name: string, delayMs: number): void;
  setPopupAllowed(allowed: boolean): void;
  after(ms: number, action: () => void): void;
  now(): number;
  newId(): string;
}

import type { ErrorCategory } from "../base/errors.ts";
import type { FaultInfo, StageInfo } from "./events.ts";
import type { OperationStatus, Place, Provider } from "./options.ts";
import type { HostStatus, SessionSummary } from "./popup.ts";

// What a site may know of the pool: its own hosts and sessions, and nobody else's.

type Entries = Readonly<Record<string, object>>;

/** What is kept in step of a browser's state. JSON. */
export interface OriginContent {
  readonly status: HostStatus;
  readonly models: Entries;
  readonly operations: Entries;
  readonly resources: Entries;
  readonly metrics: object;
}

/** What leads from one content to another, and the digests of both. */
export interface OriginDelta {
  readonly from: string;
  readonly to: string;
  readonly status: HostStatus | null;
  /** Entries that are new or changed, whole, by part and key. */
  readonly put: Readonly<Record<string, object>>;
  /** Keys of those that are gone. */
  readonly remove: Readonly<Record<string, readonly string[]>>;
}

/** A host of the site's own: the seed's browser instance. Times are epoch milliseconds. */
export interface OriginBrowser extends OriginContent {
  readonly browserId: string;
  readonly browserType: string;
  readonly sessionId: string;
  readonly stage: StageInfo;
  readonly lastHeartbeat: number;
}

/** Hex SHA-256 of the content that somebody has of each browser, by its id. */
export type KnownBrowsers = Readonly<Record<string, string>>;

/** A browser for somebody who may know an earlier state of it: what changed since then, or all of it. */
export interface BrowserNews extends Omit<OriginBrowser, keyof OriginContent> {
  readonly content: { readonly delta: OriginDelta } | { readonly whole: OriginContent; readonly digest: string };
}

/** What one of these hosts did: loads, runs of its stage, recoveries. */
export interface OriginOperation {
  readonly operation: string;
  readonly modelName: string;
  readonly browserId: string;
  readonly browserType: string;
  readonly status: OperationStatus | "aborted";
  readonly startTime: number;
  readonly durationMs: number | null;
  readonly metrics: Readonly<Record<string, number>>;
}

/** A provider that has failed again and again at a stage, and is not taken for it before `until`, epoch milliseconds. */
export interface AvoidedProvider {
  readonly provider: Provider;
  readonly until: number;
}

/** The circuit breaker of one stage's weights, provider and place. Those without a failure are not told. */
export interface BreakerInfo {
  /** Hex digest of the model's files and of how they are cut. */
  readonly weights: string;
  readonly stage: number;
  readonly provider: Provider;
  readonly place: Place;
  readonly state: "closed" | "open" | "half_open";
  /** In a row, while it is closed. */
  readonly failures: number;
  /** On trial, while it is half open. */
  readonly successes: number;
  /** While it is open: when it is tried again, epoch milliseconds. */
  readonly retryAt: number | null;
}

export interface OriginStatus {
  /** The type of the browser that this is. */
  readonly browserType: string;
  readonly browsers: readonly OriginBrowser[];
  readonly sessions: readonly SessionSummary[];
  /** Of these sessions; newest first, bounded. */
  readonly faults: readonly (FaultInfo & {
    readonly sessionId: string;
    readonly category: ErrorCategory;
    readonly recoveredMs: number | null;
  })[];
  /** Oldest first, bounded. */
  readonly operations: readonly OriginOperation[];
  readonly circuitBreakers: readonly BreakerInfo[];
}

/** The same, with what the page does not have yet of its browsers. */
export interface OriginNews extends Omit<OriginStatus, "browsers"> {
  readonly browsers: readonly BrowserNews[];
}

/** What came of a planned move: whether it was made, and which host carries the stage now. */
export interface MovedHost {
  readonly moved: boolean;
  readonly hostId: string;
}

/** Where a host that a page reported stood. */
export interface FailedHost {
  readonly sessionId: string;
  readonly stage: number;
  readonly attempt: number;
}

import type { ErrorCategory } from "../base/errors.ts";
import type { FaultInfo, StageInfo } from "./events.ts";
import type { OperationStatus } from "./options.ts";
import type { HostStatus, SessionSummary } from "./popup.ts";

// What a site may know of the pool: its own hosts and sessions, and nobody else's.

/** A host of the site's own: the seed's browser instance. Times are epoch milliseconds. */
export interface OriginBrowser {
  readonly browserId: string;
  readonly browserType: string;
  readonly status: HostStatus;
  readonly sessionId: string;
  readonly stage: StageInfo;
  readonly models: Readonly<Record<string, object>>;
  readonly operations: Readonly<Record<string, object>>;
  readonly resources: Readonly<Record<string, object>>;
  readonly metrics: object;
  readonly lastHeartbeat: number;
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
}

/** Where a host that a page reported stood. */
export interface FailedHost {
  readonly sessionId: string;
  readonly stage: number;
  readonly attempt: number;
}

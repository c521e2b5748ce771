import type { OperationStatus } from "../protocol/options.ts";
import type { HostStatus } from "../protocol/popup.ts";
import type { JsonObject } from "./canonical.ts";

export const BROWSER_STATUSES = ["initialized", "running", "degraded", "failed", "recovering", "closed"] as const;

type Entries = Readonly<Record<string, JsonObject>>;

/** What a restart or a migration puts back. */
export interface BrowserContent {
  readonly status: HostStatus;
  /** By model id. */
  readonly models: Entries;
  /** Running ones only, by operation id: what has ended is removed. */
  readonly operations: Entries;
  /** Tensor memory and the like, by resource id: what was freed is removed. */
  readonly resources: Entries;
  readonly metrics: JsonObject;
}

/** A copy of a browser's state at one moment (epoch milliseconds). */
export interface BrowserCheckpoint extends BrowserContent {
  readonly timestamp: number;
  readonly browserId: string;
  readonly browserType: string;
}

/** The seed's BrowserState as data; its id is the key under which it lies. */
export interface BrowserRecord extends BrowserContent {
  readonly browserType: string;
  /** When anything was last heard from it, epoch milliseconds. */
  readonly lastHeartbeat: number;
  readonly recoveryAttempts: number;
  /** Oldest first, bounded. */
  readonly checkpoints: readonly BrowserCheckpoint[];
}

/** Changes of one browser. `hostId` is the seed's browser id. */
export type BrowserChange =
  | {
      readonly action: "update_browser_status";
      readonly data: { readonly hostId: string; readonly status: HostStatus };
    }
  | {
      readonly action: "add_model_to_browser";
      readonly data: { readonly hostId: string; readonly modelId: string; readonly modelState: JsonObject };
    }
  | {
      readonly action: "remove_model_from_browser";
      readonly data: { readonly hostId: string; readonly modelId: string };
    }
  | {
      readonly action: "add_operation_to_browser";
      readonly data: { readonly hostId: string; readonly operationId: string; readonly operation: JsonObject };
    }
  | {
      /** Takes the operation out; how it ended is in the log. */
      readonly action: "complete_browser_operation";
      readonly data: { readonly hostId: string; readonly operationId: string; readonly status: OperationStatus };
    }
  | {
      readonly action: "add_resource_to_browser";
      readonly data: { readonly hostId: string; readonly resourceId: string; readonly resource: JsonObject };
    }
  | {
      readonly action: "remove_resource_from_browser";
      readonly data: { readonly hostId: string; readonly resourceId: string };
    }
  | {
      /** Several at once, as a host reports them; null: freed. */
      readonly action: "update_browser_resources";
      readonly data: { readonly hostId: string; readonly resources: Readonly<Record<string, JsonObject | null>> };
    }
  | {
      readonly action: "update_browser_metrics";
      readonly data: { readonly hostId: string; readonly metrics: JsonObject };
    }
  | { readonly action: "heartbeat"; readonly data: { readonly hostId: string } }
  | { readonly action: "create_browser_checkpoint"; readonly data: { readonly hostId: string } }
  | {
      readonly action: "restore_browser_checkpoint";
      readonly data: { readonly hostId: string; readonly checkpoint: BrowserCheckpoint };
    };

/** Changes that concern a set of browsers. */
export type BrowserMove = {
  /** Models and operations go over; memory and metrics belong to the process that had them. */
  readonly action: "migrate_browser_state";
  readonly data: { readonly fromHostId: string; readonly hostId: string };
};

/** The seed's transactions, over browsers alone. */
export type BrowserTransaction =
  | BrowserChange
  | BrowserMove
  | {
      readonly action: "add_browser";
      readonly data: { readonly hostId: string; readonly browserType: string };
    }
  | { readonly action: "remove_browser"; readonly data: { readonly hostId: string } };

export type Browsers<B extends BrowserRecord = BrowserRecord> = Readonly<Record<string, B>>;

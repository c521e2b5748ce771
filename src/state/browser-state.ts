import { BROWSER_HEALTHY_MS } from "../base/limits.ts";
import type { OperationStatus } from "../protocol/options.ts";
import type { HostStatus } from "../protocol/popup.ts";
import type { BrowserChange, BrowserCheckpoint, BrowserRecord } from "./browser-record.ts";
import { applyBrowserChange, entryOf, newBrowser } from "./browser-reducer.ts";
import { type BrowserStateJson, browserOf } from "./browser-schema.ts";
import { type JsonObject, jsonCopy } from "./canonical.ts";

/** Where a browser's state lies: in a log, or in this object alone. */
export interface BrowserCell {
  read(): BrowserRecord;
  change(change: BrowserChange): void;
}

export interface BrowserClock {
  /** Epoch milliseconds. */
  now(): number;
}

const DEAD: ReadonlySet<HostStatus> = new Set(["failed", "closed"]);

/**
 * State of a browser instance (a host): what it is, runs and holds. One that a BrowserStateManager gave is a view: it
 * always shows the present state, and what is changed through it goes into the manager's log.
 */
export class BrowserState {
  private readonly cell: BrowserCell;

  constructor(
    readonly browserId: string,
    browserType: string,
    private readonly clock: BrowserClock,
    cell?: BrowserCell,
  ) {
    this.cell = cell ?? ownCell(browserId, newBrowser(browserType, clock.now()), clock);
  }

  /** From what `toJSON` gave. Throws BAD_OPTIONS for anything else. */
  static from(json: unknown, clock: BrowserClock): BrowserState {
    const { browserId, ...record } = browserOf(json);
    return new BrowserState(browserId, record.browserType, clock, ownCell(browserId, record, clock));
  }

  get browserType(): string {
    return this.cell.read().browserType;
  }
  get status(): HostStatus {
    return this.cell.read().status;
  }
  /** Epoch milliseconds. */
  get lastHeartbeat(): number {
    return this.cell.read().lastHeartbeat;
  }
  get models(): BrowserRecord["models"] {
    return this.cell.read().models;
  }
  get operations(): BrowserRecord["operations"] {
    return this.cell.read().operations;
  }
  get resources(): BrowserRecord["resources"] {
    return this.cell.read().resources;
  }
  get metrics(): JsonObject {
    return this.cell.read().metrics;
  }
  get recoveryAttempts(): number {
    return this.cell.read().recoveryAttempts;
  }
  get checkpoints(): readonly BrowserCheckpoint[] {
    return this.cell.read().checkpoints;
  }

  updateStatus(status: HostStatus): void {
    this.change("update_browser_status", { status });
  }
  addModel(modelId: string, modelState: JsonObject): void {
    this.change("add_model_to_browser", { modelId, modelState });
  }
  removeModel(modelId: string): void {
    this.change("remove_model_from_browser", { modelId });
  }
  /** Counts as running until it is completed. */
  addOperation(operationId: string, operation: JsonObject): void {
    this.change("add_operation_to_browser", { operationId, operation });
  }
  completeOperation(operationId: string, status: OperationStatus = "completed"): void {
    this.change("complete_browser_operation", { operationId, status });
  }
  addResource(resourceId: string, resource: JsonObject): void {
    this.change("add_resource_to_browser", { resourceId, resource });
  }
  removeResource(resourceId: string): void {
    this.change("remove_resource_from_browser", { resourceId });
  }
  /** Adds to what is known, or replaces it, name by name. */
  updateMetrics(metrics: JsonObject): void {
    this.change("update_browser_metrics", { metrics });
  }
  /** It said that it lives, and nothing else. */
  heartbeat(): void {
    this.change("heartbeat", {});
  }

  createCheckpoint(): BrowserCheckpoint {
    this.change("create_browser_checkpoint", {});
    return this.checkpoints.at(-1) as BrowserCheckpoint;
  }
  getLatestCheckpoint(): BrowserCheckpoint | null {
    return this.checkpoints.at(-1) ?? null;
  }

  /** Heard from within `timeoutMs`, and neither failed nor closed. */
  isHealthy(timeoutMs = BROWSER_HEALTHY_MS): boolean {
    const { status, lastHeartbeat } = this.cell.read();
    return !DEAD.has(status) && this.clock.now() - lastHeartbeat < timeoutMs;
  }

  toJSON(): BrowserStateJson {
    const { browserType, lastHeartbeat, recoveryAttempts, checkpoints } = this;
    const { status, models, operations, resources, metrics } = this;
    const content = { status, models, operations, resources, metrics };
    return jsonCopy({
      browserId: this.browserId,
      browserType,
      ...content,
      lastHeartbeat,
      recoveryAttempts,
      checkpoints,
    });
  }

  private change<A extends BrowserChange["action"]>(
    action: A,
    data: Omit<Extract<BrowserChange, { action: A }>["data"], "hostId">,
  ): void {
    this.cell.change({ action, data: { ...jsonCopy(data), hostId: this.browserId } } as unknown as BrowserChange);
  }
}

function ownCell(browserId: string, first: BrowserRecord, clock: BrowserClock): BrowserCell {
  let record = first;
  return {
    read: () => record,
    change: (change) => {
      record = entryOf(applyBrowserChange({ [browserId]: record }, change, clock.now()), browserId) as BrowserRecord;
    },
  };
}

import { HoldfastError } from "../base/errors.ts";
import { BROWSER_HEALTHY_MS } from "../base/limits.ts";
import type { OperationStatus } from "../protocol/options.ts";
import type { HostStatus } from "../protocol/popup.ts";
import { applyBrowserDelta, type BrowserDelta, browserDigest, diffBrowser } from "./browser-delta.ts";
import { type BrowserLog, type BrowserLogNeeds, memoryBrowserLog } from "./browser-log.ts";
import type { BrowserCheckpoint, BrowserContent, BrowserRecord } from "./browser-record.ts";
import { contentOf, entryOf, workingCheckpoint } from "./browser-reducer.ts";
import { checkpointOf } from "./browser-schema.ts";
import { BrowserState } from "./browser-state.ts";
import { digestOf, type JsonObject, jsonCopy } from "./canonical.ts";
import { type ExportedTransaction, exportTransaction } from "./log-export.ts";
import type { Replay } from "./transaction-log.ts";

export interface StatusSummary {
  readonly browserCount: number;
  readonly healthyBrowserCount: number;
  /** How many of each type. */
  readonly browserTypes: Readonly<Record<string, number>>;
  readonly modelCount: number;
  readonly operationCount: number;
  readonly resourceCount: number;
  readonly transactionCount: number;
}

export interface Migration {
  readonly modelIds: readonly string[];
  readonly operationIds: readonly string[];
  /** Hex SHA-256 of the models and operations, equal before and after. */
  readonly digest: string;
}

/** Manages browser state with transaction logging. Ids of browsers that are not known throw BAD_OPTIONS. */
export class BrowserStateManager {
  private readonly log: BrowserLog;

  /** `log`: the pool's; left out, one that lives as long as this object. */
  constructor(
    private readonly needs: BrowserLogNeeds,
    log?: BrowserLog,
  ) {
    this.log = log ?? memoryBrowserLog(needs);
  }

  /** The one that is there already when the id is known; of another type, that throws BAD_OPTIONS. */
  addBrowser(browserId: string, browserType: string): BrowserState {
    const known = entryOf(this.log.browsers, browserId);
    if (known === undefined) this.log.append({ action: "add_browser", data: { hostId: browserId, browserType } });
    else if (known.browserType !== browserType)
      throw new HoldfastError(
        "BAD_OPTIONS",
        `${browserId} is a browser of type ${known.browserType}; choose another id.`,
      );
    return this.known(browserId);
  }

  removeBrowser(browserId: string): void {
    this.known(browserId);
    this.log.append({ action: "remove_browser", data: { hostId: browserId } });
  }

  getBrowser(browserId: string): BrowserState | null {
    return entryOf(this.log.browsers, browserId) === undefined ? null : this.view(browserId);
  }

  updateBrowserStatus(browserId: string, status: HostStatus): void {
    this.known(browserId).updateStatus(status);
  }
  addModelToBrowser(browserId: string, modelId: string, modelState: JsonObject): void {
    this.known(browserId).addModel(modelId, modelState);
  }
  removeModelFromBrowser(browserId: string, modelId: string): void {
    this.known(browserId).removeModel(modelId);
  }
  addOperationToBrowser(browserId: string, operationId: string, operation: JsonObject): void {
    this.known(browserId).addOperation(operationId, operation);
  }
  /** Finished operations are removed; how they ended is in the log. */
  completeOperation(browserId: string, operationId: string, status: OperationStatus = "completed"): void {
    this.known(browserId).completeOperation(operationId, status);
  }
  addResourceToBrowser(browserId: string, resourceId: string, resource: JsonObject): void {
    this.known(browserId).addResource(resourceId, resource);
  }
  removeResourceFromBrowser(browserId: string, resourceId: string): void {
    this.known(browserId).removeResource(resourceId);
  }
  updateBrowserMetrics(browserId: string, metrics: JsonObject): void {
    this.known(browserId).updateMetrics(metrics);
  }
  heartbeat(browserId: string): void {
    this.known(browserId).heartbeat();
  }

  createBrowserCheckpoint(browserId: string): BrowserCheckpoint {
    return this.known(browserId).createCheckpoint();
  }

  /** The newest one from before a failure. */
  getBrowserCheckpoint(browserId: string): BrowserCheckpoint | null {
    return workingCheckpoint(this.record(browserId));
  }

  /**
   * Puts a browser back to a checkpoint, by default the newest from before its failure. Throws STATE_LOST when there is
   * none, and BAD_OPTIONS for data that is no checkpoint.
   */
  restoreBrowserCheckpoint(browserId: string, checkpoint?: BrowserCheckpoint): BrowserCheckpoint {
    const restored = checkpoint === undefined ? this.getBrowserCheckpoint(browserId) : checkpointOf(checkpoint);
    this.known(browserId);
    if (restored === null)
      throw new HoldfastError("STATE_LOST", `${browserId} has no checkpoint from before a failure; start it anew.`);
    this.log.append({ action: "restore_browser_checkpoint", data: { hostId: browserId, checkpoint: restored } });
    this.verify(browserId, browserDigest(restored, this.needs.sha256));
    return restored;
  }

  /**
   * Applies the log again, from the newest snapshot at or before `fromSequence` (default: the newest), and takes the state
   * that it gives.
   */
  replayTransactions(fromSequence?: number): Promise<Replay> {
    return this.log.replay(fromSequence);
  }

  /** Failover: models and operations go from one browser to another; verified by digest. */
  migrateState(fromBrowser: string, toBrowser: string): Migration {
    const from = this.record(fromBrowser);
    const to = this.record(toBrowser);
    if (fromBrowser === toBrowser)
      throw new HoldfastError("BAD_OPTIONS", `${fromBrowser} cannot take its own state over; name another browser.`);
    const models = { ...to.models, ...from.models };
    const operations = { ...to.operations, ...from.operations };
    const digest = digestOf({ models, operations }, this.needs.sha256);
    this.log.append({ action: "migrate_browser_state", data: { fromHostId: fromBrowser, hostId: toBrowser } });
    const now = this.record(toBrowser);
    if (digestOf({ models: now.models, operations: now.operations }, this.needs.sha256) !== digest)
      throw new HoldfastError(
        "STATE_LOST",
        `What ${toBrowser} holds is not what ${fromBrowser} had; restore a checkpoint.`,
      );
    return { modelIds: Object.keys(from.models), operationIds: Object.keys(from.operations), digest };
  }

  /** Hex SHA-256 of a browser's status, models, operations, resources and metrics. */
  digest(browserId: string): string {
    return browserDigest(this.record(browserId), this.needs.sha256);
  }

  /** What leads from `from` (what a standby has) to this browser's present state. */
  deltaOf(browserId: string, from: BrowserContent): BrowserDelta {
    return diffBrowser(from, this.record(browserId), this.needs.sha256);
  }

  /** A standby takes a delta. Throws STATE_LOST when it does not fit: then the whole state is to be sent. */
  applyDelta(browserId: string, delta: BrowserDelta): void {
    const content = applyBrowserDelta(contentOf(this.record(browserId)), jsonCopy(delta), this.needs.sha256);
    const checkpoint = {
      timestamp: this.needs.now(),
      browserId,
      browserType: this.record(browserId).browserType,
      ...content,
    };
    this.log.append({ action: "restore_browser_checkpoint", data: { hostId: browserId, checkpoint } });
    this.verify(browserId, delta.to);
  }

  /** The one that carries this model, by its id or by the name in its state; a healthy one where there are several. */
  getBrowserByModel(modelId: string): BrowserState | null {
    const carriers = Object.entries(this.log.browsers)
      .filter(
        ([, { models }]) =>
          Object.hasOwn(models, modelId) || Object.values(models).some(({ model }) => model === modelId),
      )
      .map(([browserId]) => this.view(browserId));
    return carriers.find((browser) => browser.isHealthy()) ?? carriers[0] ?? null;
  }

  getHealthyBrowsers(timeoutMs = BROWSER_HEALTHY_MS): BrowserState[] {
    return Object.keys(this.log.browsers)
      .map((browserId) => this.view(browserId))
      .filter((browser) => browser.isHealthy(timeoutMs));
  }

  getBrowserCountByType(): Record<string, number> {
    const counts = new Map<string, number>();
    for (const { browserType } of Object.values(this.log.browsers))
      counts.set(browserType, (counts.get(browserType) ?? 0) + 1);
    return Object.fromEntries(counts);
  }

  getStatusSummary(): StatusSummary {
    const records = Object.values(this.log.browsers);
    const count = (entries: (record: BrowserRecord) => object): number =>
      records.reduce((sum, record) => sum + Object.keys(entries(record)).length, 0);
    return {
      browserCount: records.length,
      healthyBrowserCount: this.getHealthyBrowsers().length,
      browserTypes: this.getBrowserCountByType(),
      modelCount: count(({ models }) => models),
      operationCount: count(({ operations }) => operations),
      resourceCount: count(({ resources }) => resources),
      transactionCount: this.log.length,
    };
  }

  /** The transactions that are kept, in the seed's form: snake_case keys, timestamps in seconds. */
  async exportLog(): Promise<readonly ExportedTransaction[]> {
    return (await this.log.history()).map(exportTransaction);
  }

  private verify(browserId: string, digest: string): void {
    if (this.digest(browserId) !== digest)
      throw new HoldfastError("STATE_LOST", `The state of ${browserId} is not the one that was to be put back.`);
  }

  private record(browserId: string): BrowserRecord {
    const record = entryOf(this.log.browsers, browserId);
    if (record === undefined) throw new HoldfastError("BAD_OPTIONS", `There is no browser ${browserId}; add it first.`);
    return record;
  }

  private known(browserId: string): BrowserState {
    this.record(browserId);
    return this.view(browserId);
  }

  private view(browserId: string): BrowserState {
    return new BrowserState(browserId, "", this.needs, {
      read: () => this.record(browserId),
      change: (change) => this.log.append(change),
    });
  }
}

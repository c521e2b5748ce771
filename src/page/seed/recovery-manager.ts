import { HoldfastError, messageOf, toErrorData } from "../../base/errors.ts";
import type { FaultToleranceLevel, RecoveryStrategy } from "../../fault/levels.ts";
import type { FinalStatus, Metrics } from "../../history/entry.ts";
import { type PerformanceRecommendations, performanceRecommendations } from "../../history/recommendations.ts";
import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import { parseSessionOptions } from "../../protocol/session-options.ts";
import type { BrowserStateManager } from "../../state/browser-state-manager.ts";
import type { Inputs } from "../tasks.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import type { OperationResult } from "./pool-bridge.ts";
import { createStateManager, mirrorBrowsers } from "./state-mirror.ts";

export interface RecoveryManagerOptions {
  readonly connectionPool: ConnectionPool;
  readonly faultToleranceLevel?: FaultToleranceLevel;
  readonly recoveryStrategy?: RecoveryStrategy;
  readonly logger?: { warn(message: string): void };
}

export interface RecoveryResult {
  readonly success: boolean;
  /** What brought the stage back: a fresh start of the host, or another host. */
  readonly recoveryType: "restart" | "failover" | "none";
  /** Hosts, or starts of one, that it took. */
  readonly recoveryAttempt: number;
  /** The one to use now. */
  readonly browserId: string;
  readonly browserType: string;
  readonly failedBrowserId: string;
  readonly failoverBrowserId?: string;
  readonly failoverBrowserType?: string;
  readonly error?: string;
}

/** Times are epoch milliseconds. */
export interface RecoveryStatistics {
  readonly recoveryAttempts: number;
  readonly recoverySuccesses: number;
  readonly recoveryFailures: number;
  /** 0 to 1; null: none was tried. */
  readonly successRate: number | null;
  readonly lastError: string | null;
  readonly lastErrorTime: number | null;
  readonly lastRecoveryTime: number | null;
  readonly activeBrowsers: number;
  readonly totalBrowsers: number;
  readonly browserTypes: Readonly<Record<string, number>>;
  readonly faultToleranceLevel: FaultToleranceLevel;
  readonly recoveryStrategy: RecoveryStrategy;
}

/** Failures of hosts that no recovery is tried for: they are the caller's, and a fresh host would say the same. */
const CALLERS_OWN = new Set(["BAD_FEEDS", "BAD_OPTIONS", "BAD_MODEL", "UNSUPPORTED_OP", "SESSION_BUSY", "ABORTED"]);

/**
 * The seed's recovery manager for the hosts of the page's own site. The recovery itself is the pool's, as after every other fault;
 * level and strategy are those of the session that the host serves, and defaults here for what `recoverOperation` opens.
 */
export class ResourcePoolRecoveryManager {
  private readonly level: FaultToleranceLevel;
  private readonly strategy: RecoveryStrategy;
  private manager: BrowserStateManager | null = null;
  private mirrored: ReadonlySet<string> = new Set();
  private tries = { successes: 0, failures: 0 };
  private last: { readonly error: string; readonly at: number } | null = null;
  private lastRecoveryTime: number | null = null;

  /** @throws HoldfastError BAD_OPTIONS. */
  constructor(private readonly options: RecoveryManagerOptions) {
    const { faultToleranceLevel = "medium", recoveryStrategy = "progressive" } = options;
    const parsed = parseSessionOptions({ faultToleranceLevel, recoveryStrategy });
    this.level = parsed.faultToleranceLevel;
    this.strategy = parsed.recoveryStrategy;
  }

  get connectionPool(): ConnectionPool {
    return this.options.connectionPool;
  }
  /** What this page's operations took. */
  get performanceTracker(): PerformanceHistoryTracker {
    return this.connectionPool.performanceTracker;
  }
  /** The site's hosts, as they were at the last call of this manager. Throws BAD_OPTIONS before `initialize`. */
  get stateManager(): BrowserStateManager {
    if (this.manager !== null) return this.manager;
    throw new HoldfastError("BAD_OPTIONS", "The recovery manager is not initialized; await initialize() first.");
  }

  async initialize(): Promise<void> {
    this.manager ??= await createStateManager();
    await this.refresh();
  }

  /** Asks the pool how the site's hosts are. */
  async refresh(): Promise<void> {
    const { browsers } = await this.connectionPool.status();
    this.mirrored = mirrorBrowsers(this.stateManager, browsers, this.mirrored);
  }

  /** @returns the entry's id. */
  async trackOperation(operation: string, model: string, browserId: string, browserType: string): Promise<string> {
    return this.performanceTracker.startOperation(operation, model, browserId, browserType);
  }

  /** `metrics.durationMs` is believed before the clock is. False: no such operation is under way. */
  async completeOperation(id: string, metrics: Metrics = {}, status: FinalStatus = "completed"): Promise<boolean> {
    return this.performanceTracker.completeOperation(id, metrics, status);
  }

  /** Resolves once the host's stage is carried again, or cannot be. Other sites' hosts are refused as unknown. */
  async handleBrowserFailure(browserId: string, error: unknown): Promise<RecoveryResult> {
    const type = this.stateManager.getBrowser(browserId)?.browserType;
    this.last = { error: messageOf(error), at: Date.now() };
    try {
      if (error instanceof HoldfastError && CALLERS_OWN.has(error.code)) throw error;
      const { browser, attempt } = await this.connectionPool.recover(browserId, error);
      this.tries.successes++;
      this.lastRecoveryTime = Date.now();
      await this.refresh();
      const isOther = browser.browserId !== browserId;
      const instead = { failoverBrowserId: browser.browserId, failoverBrowserType: browser.browserType };
      return {
        success: true,
        recoveryType: isOther ? "failover" : "restart",
        recoveryAttempt: browser.stage.attempt - attempt,
        browserId: browser.browserId,
        browserType: browser.browserType,
        failedBrowserId: browserId,
        ...(isOther ? instead : {}),
      };
    } catch (failure) {
      this.tries.failures++;
      const why = messageOf(failure);
      this.options.logger?.warn(`Browser ${browserId} was not recovered: ${why}`);
      await this.refresh().catch(() => undefined);
      const none = { success: false, recoveryType: "none", recoveryAttempt: 0 } as const;
      return { ...none, browserId, browserType: type ?? "unknown", failedBrowserId: browserId, error: why };
    }
  }

  /** Does an operation once more, on whatever hosts carry the model now; it counts as recovered. */
  async recoverOperation(model: string, operation: string, inputs: Inputs): Promise<OperationResult> {
    if (operation !== "inference")
      return { success: false, error: `The operation ${operation} cannot be done again; only inference can.` };
    const { pool } = this.connectionPool;
    const [result] = await pool.executeConcurrent([{ modelName: model, inputs }]);
    await this.refresh();
    return result ?? { success: false, error: toErrorData(null).message };
  }

  getPerformanceRecommendations(): PerformanceRecommendations {
    return performanceRecommendations(this.performanceTracker, Date.now());
  }

  getRecoveryStatistics(): RecoveryStatistics {
    const { successes, failures } = this.tries;
    const { browserCount, healthyBrowserCount, browserTypes } = this.stateManager.getStatusSummary();
    return {
      recoveryAttempts: successes + failures,
      recoverySuccesses: successes,
      recoveryFailures: failures,
      successRate: successes + failures === 0 ? null : successes / (successes + failures),
      lastError: this.last?.error ?? null,
      lastErrorTime: this.last?.at ?? null,
      lastRecoveryTime: this.lastRecoveryTime,
      activeBrowsers: healthyBrowserCount,
      totalBrowsers: browserCount,
      browserTypes,
      faultToleranceLevel: this.level,
      recoveryStrategy: this.strategy,
    };
  }
}

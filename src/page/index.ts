import { EXTENSION_ID } from "./extension-id.ts";
import { Pool } from "./pool.ts";

export { Tensor } from "onnxruntime-common";
export { ERROR_CATEGORIES, type ErrorCategory, type ErrorCode, HoldfastError } from "../base/errors.ts";
export {
  FAULT_TOLERANCE_LEVELS,
  type FaultToleranceLevel,
  RECOVERY_STRATEGIES,
  type RecoveryStrategy,
} from "../fault/levels.ts";
export type { PerformanceEntry } from "../history/entry.ts";
export { ModelShardingAnalyzer } from "../history/sharding-analyzer.ts";
export { PerformanceHistoryTracker } from "../history/tracker.ts";
export type { OwnSession } from "../protocol/client.ts";
export type { SessionEvent, StageInfo } from "../protocol/events.ts";
export { SHARDING_STRATEGIES, type ShardingStrategy } from "../shard/types.ts";
export { BrowserState } from "../state/browser-state.ts";
export { BrowserStateManager } from "../state/browser-state-manager.ts";
export type { Guarantees } from "./guarantees.ts";
export type { ModelOptions, TokenizerSource } from "./model-registry.ts";
export type { Picked, PickedSource } from "./picked.ts";
export type { CreateSessionOptions, Pool } from "./pool.ts";
export type { RepositorySource } from "./repository.ts";
export type { ResumeSessionOptions } from "./resume.ts";
export type { GenerateOptions, ResumeGenerationOptions, RunOptions, Token } from "./run-options.ts";
export { Browser, type BrowserCalls } from "./seed/browser.ts";
export { ConnectionPool } from "./seed/connection-pool.ts";
export { ModelShardingManager, type ModelShardingOptions } from "./seed/model-sharding-manager.ts";
export type {
  ConcurrentOperation,
  FaultToleranceOptions,
  ModelPreferences,
  OperationResult,
  ResourcePoolOptions,
} from "./seed/pool-bridge.ts";
export type { BrowserHealth, HealthStatus, PoolMetrics } from "./seed/pool-metrics.ts";
export { PooledModel } from "./seed/pooled-model.ts";
export {
  type RecoveryManagerOptions,
  type RecoveryResult,
  type RecoveryStatistics,
  ResourcePoolRecoveryManager,
} from "./seed/recovery-manager.ts";
export { ResourcePoolBridgeIntegration } from "./seed/resource-pool-bridge-integration.ts";
export { type RecoveredResult, type RunWithRecovery, runWithRecovery } from "./seed/run-with-recovery.ts";
export type { Figure, ShardingMetrics } from "./seed/sharding-metrics.ts";
export { createStateManager } from "./seed/state-mirror.ts";
export type { Session } from "./session.ts";
export type { FileSource, HubModel, Integrity, ModelSource, RemoteFile, SplitModel } from "./source.ts";
export type { Inference, InferOptions, Inputs } from "./tasks.ts";
export type { CreateSessionsOptions } from "./together.ts";

export interface ConnectOptions {
  /** Id of another build of the extension. */
  readonly extensionId?: string;
  /** How long to wait for the extension to answer, milliseconds; the user's answer is waited for without limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Connects the page to Holdfast. The first time, the user is asked whether this site may. Throws HoldfastError:
 * EXTENSION_ABSENT, PERMISSION_DENIED, ABORTED.
 */
export function connect({ extensionId = EXTENSION_ID, timeoutMs, signal }: ConnectOptions = {}): Promise<Pool> {
  return Pool.connect(extensionId, timeoutMs, signal);
}

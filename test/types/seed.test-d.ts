/** The keys of what the seed's classes give, held by the compiler: a missing or an extra one does not compile. */
import type {
  Pool,
  PoolMetrics,
  RecoveryResult,
  RecoveryStatistics,
  ResourcePoolBridgeIntegration,
  ShardingMetrics,
} from "../../src/page/index.ts";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;

export const recoveryResult: Same<
  keyof RecoveryResult,
  | "success"
  | "recoveryType"
  | "recoveryAttempt"
  | "browserId"
  | "browserType"
  | "failedBrowserId"
  | "failoverBrowserId"
  | "failoverBrowserType"
  | "error"
> = true;

export const recoveryStatistics: Same<
  keyof RecoveryStatistics,
  | "recoveryAttempts"
  | "recoverySuccesses"
  | "recoveryFailures"
  | "successRate"
  | "lastError"
  | "lastErrorTime"
  | "lastRecoveryTime"
  | "activeBrowsers"
  | "totalBrowsers"
  | "browserTypes"
  | "faultToleranceLevel"
  | "recoveryStrategy"
> = true;

export const poolMetrics: Same<
  keyof PoolMetrics,
  "connections" | "models" | "performance" | "adaptiveScaling" | "resources" | "circuitBreaker"
> = true;

export const shardingMetrics: Same<
  keyof ShardingMetrics,
  "latency" | "throughput" | "successRate" | "recoveryRate" | "memory"
> = true;

/** The pool that `connect` gives has the seed's shape. */
type Shape = Pick<
  ResourcePoolBridgeIntegration,
  | "initialize"
  | "registerModel"
  | "getModel"
  | "executeConcurrent"
  | "getHealthStatus"
  | "getMetrics"
  | "connectionPool"
  | "close"
>;
export const shape: [Pool] extends [Shape] ? true : never = true;

import { HoldfastError } from "../../base/errors.ts";
import { EXTENSION_ID } from "../extension-id.ts";
import type { ModelOptions } from "../model-registry.ts";
import { Pool } from "../pool.ts";
import type { ModelSource } from "../source.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import {
  type ConcurrentOperation,
  type ModelPreferences,
  type OperationResult,
  poolOptions,
  type ResourcePoolOptions,
} from "./pool-bridge.ts";
import type { HealthStatus, PoolMetrics } from "./pool-metrics.ts";
import type { PooledModel } from "./pooled-model.ts";

/** The seed's pool: options first, then `initialize()`, which connects the page as `connect` does. */
export class ResourcePoolBridgeIntegration {
  private connected: Pool | null = null;

  /** @throws HoldfastError BAD_OPTIONS. */
  constructor(
    private readonly options: ResourcePoolOptions = {},
    private readonly extensionId: string = EXTENSION_ID,
  ) {
    poolOptions(options);
  }

  /** @throws HoldfastError EXTENSION_ABSENT, PERMISSION_DENIED. */
  async initialize(): Promise<void> {
    if (this.connected !== null) return;
    this.connected = await Pool.connect(this.extensionId, undefined, undefined);
    this.connected.configure(this.options);
  }

  /** What `connect` gives. Throws BAD_OPTIONS before `initialize`. */
  get pool(): Pool {
    if (this.connected !== null) return this.connected;
    throw new HoldfastError("BAD_OPTIONS", "The pool is not initialized; await initialize() first.");
  }
  get connectionPool(): ConnectionPool {
    return this.pool.connectionPool;
  }

  registerModel(name: string, source: ModelSource, options?: ModelOptions): void {
    this.pool.registerModel(name, source, options);
  }
  getModel(type: string, name: string, preferences?: ModelPreferences): Promise<PooledModel> {
    return this.pool.getModel(type, name, preferences);
  }
  executeConcurrent(list: readonly ConcurrentOperation[]): Promise<OperationResult[]> {
    return this.pool.executeConcurrent(list);
  }
  getHealthStatus(): Promise<HealthStatus> {
    return this.pool.getHealthStatus();
  }
  getMetrics(): Promise<PoolMetrics> {
    return this.pool.getMetrics();
  }

  async close(): Promise<void> {
    await this.connected?.close();
    this.connected = null;
  }
}

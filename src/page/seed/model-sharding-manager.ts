import { HoldfastError } from "../../base/errors.ts";
import type { FaultToleranceLevel, RecoveryStrategy } from "../../fault/levels.ts";
import type { PerformanceHistoryTracker } from "../../history/tracker.ts";
import { parseSessionOptions } from "../../protocol/session-options.ts";
import type { ShardingStrategyOption } from "../../shard/types.ts";
import type { Session } from "../session.ts";
import type { Inference, InferOptions, Inputs } from "../tasks.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import type { PooledModel } from "./pooled-model.ts";
import { type ShardingMetrics, shardingMetrics } from "./sharding-metrics.ts";

export interface ModelShardingOptions {
  readonly modelName: string;
  readonly connectionPool: ConnectionPool;
  readonly shardingStrategy?: ShardingStrategyOption;
  readonly numShards?: number;
  readonly faultToleranceLevel?: FaultToleranceLevel;
  readonly recoveryStrategy?: RecoveryStrategy;
}

/** The seed's manager of one model in shards, each in a host of its own. */
export class ModelShardingManager {
  private model: PooledModel | null = null;

  /** @throws HoldfastError BAD_OPTIONS. */
  constructor(private readonly options: ModelShardingOptions) {
    parseSessionOptions(this.sessionOptions());
  }

  /** Loads the shards. Throws as `pool.createSession` does, and TOO_MANY_HOSTS. */
  async initialize(): Promise<void> {
    const { connectionPool, modelName } = this.options;
    this.model ??= await connectionPool.pool.getModel("", modelName, this.sessionOptions());
  }

  /** Tensors, or a text by the model's task. At level medium it completes whatever host dies meanwhile. */
  runInference(inputs: Inputs, options?: InferOptions): Promise<Inference> {
    return this.open.run(inputs, options);
  }

  /** Asks the pool what the hosts of the model did. */
  async getPerformanceMetrics(): Promise<ShardingMetrics> {
    const status = await this.options.connectionPool.status();
    return shardingMetrics(status, this.open, this.performanceHistory);
  }

  /** What this page's operations took, this model's among them. */
  get performanceHistory(): PerformanceHistoryTracker {
    return this.options.connectionPool.performanceTracker;
  }
  get session(): Session {
    return this.open.session;
  }

  async close(): Promise<void> {
    const { model } = this;
    this.model = null;
    if (model !== null) await this.options.connectionPool.pool.closeModel(model);
  }

  private get open(): PooledModel {
    if (this.model !== null) return this.model;
    throw new HoldfastError("BAD_OPTIONS", "The model is not initialized; await initialize() first.");
  }

  private sessionOptions() {
    const { shardingStrategy = "auto", numShards = 1, faultToleranceLevel, recoveryStrategy } = this.options;
    return {
      shardingStrategy,
      shards: numShards,
      ...(faultToleranceLevel === undefined ? {} : { faultToleranceLevel }),
      ...(recoveryStrategy === undefined ? {} : { recoveryStrategy }),
    };
  }
}

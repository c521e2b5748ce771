import { HoldfastError, toErrorData } from "../../base/errors.ts";
import { MAX_CONNECTIONS, MODEL_IDLE_MS, SCALING_LOOK_MS } from "../../base/limits.ts";
import type { Platform } from "../../base/platform.ts";
import { PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { StageInfo } from "../../protocol/events.ts";
import type { FailedHost, MovedHost, OriginStatus } from "../../protocol/origin.ts";
import { parseSessionOptions } from "../../protocol/session-options.ts";
import type { CreateSessionOptions } from "../pool.ts";
import type { Session } from "../session.ts";
import type { ModelSource } from "../source.ts";
import type { Inference, InferOptions, Inputs } from "../tasks.ts";
import { chooseBrowser } from "./browser-choice.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { type HealthStatus, healthOf, metricsOf, type PoolMetrics } from "./pool-metrics.ts";
import { PooledModel } from "./pooled-model.ts";
import { Scaling } from "./scaling.ts";

export interface FaultToleranceOptions {
  readonly level?: CreateSessionOptions["faultToleranceLevel"];
  readonly recoveryStrategy?: CreateSessionOptions["recoveryStrategy"];
  /** Milliseconds between two checkpoints of a model's state. Default 60 000, and less where replay would take long. */
  readonly checkpointIntervalMs?: CreateSessionOptions["checkpointIntervalMs"];
  /** Steps of recovery in a row before a model's session fails. Default 3. */
  readonly maxRecoveryAttempts?: CreateSessionOptions["maxRecoveryAttempts"];
  /** Milliseconds between two probe runs of a host without work. Default 30 000. */
  readonly browserHealthCheckIntervalMs?: CreateSessionOptions["browserHealthCheckIntervalMs"];
}

/** The seed's options of a pool, as far as a page decides them. */
export interface ResourcePoolOptions {
  /** Hosts that the pool's models use together. */
  readonly maxConnections?: number;
  /** Browser types by model type ("audio", "vision", "text_embedding"). Taken where that browser is at hand. */
  readonly browserPreferences?: Readonly<Record<string, string>>;
  /**
   * A model without state for which runs wait gets further copies while hosts and memory are there, which go when they have
   * nothing to do; models that nobody runs give their hosts back: to others that need them, and after a minute.
   */
  readonly adaptiveScaling?: boolean;
  readonly faultToleranceOptions?: FaultToleranceOptions;
}

/** What a model is opened with; `browser`: its preferred type. */
export interface ModelPreferences extends Omit<CreateSessionOptions, "onEvent"> {
  readonly browser?: string;
  /** Left out: the name is looked up, as `createSession` does. */
  readonly source?: ModelSource;
}

/** One of many operations: which model, and what it is run with. */
export interface ConcurrentOperation {
  readonly modelName: string;
  readonly modelType?: string;
  readonly inputs: Inputs;
  readonly options?: InferOptions;
}

export type OperationResult =
  | {
      readonly success: true;
      readonly result: Inference;
      readonly browserId: string;
      readonly browserType: string;
      readonly metrics: { readonly durationMs: number };
    }
  | { readonly success: false; readonly error: string };

export type PoolOptions = Required<ResourcePoolOptions>;

/** @throws HoldfastError BAD_OPTIONS: what this version refuses is refused before the first model. */
export function poolOptions({
  maxConnections = MAX_CONNECTIONS,
  browserPreferences = {},
  adaptiveScaling = false,
  faultToleranceOptions = {},
}: ResourcePoolOptions = {}): PoolOptions {
  if (!Number.isInteger(maxConnections) || maxConnections < 1)
    throw new HoldfastError("BAD_OPTIONS", "maxConnections must be a whole number from 1 up.");
  parseSessionOptions(levelOf(faultToleranceOptions));
  return { maxConnections, browserPreferences, adaptiveScaling, faultToleranceOptions };
}

function levelOf({ level, recoveryStrategy, ...rest }: FaultToleranceOptions) {
  const { checkpointIntervalMs, maxRecoveryAttempts, browserHealthCheckIntervalMs } = rest;
  return {
    ...(browserHealthCheckIntervalMs === undefined ? {} : { browserHealthCheckIntervalMs }),
    ...(level === undefined ? {} : { faultToleranceLevel: level }),
    ...(recoveryStrategy === undefined ? {} : { recoveryStrategy }),
    ...(checkpointIntervalMs === undefined ? {} : { checkpointIntervalMs }),
    ...(maxRecoveryAttempts === undefined ? {} : { maxRecoveryAttempts }),
  };
}

/** What the seed's classes ask of the pool that `connect` gave. */
export interface BridgeNeeds {
  createSession(model: ModelSource, options: CreateSessionOptions): Promise<Session>;
  infer(session: Session, inputs: Inputs, options?: InferOptions): Promise<Inference>;
  status(): Promise<OriginStatus>;
  failHost(hostId: string, signal: string): Promise<FailedHost>;
  moveHost(hostId: string): Promise<MovedHost>;
  /** Memory of the device; null: the browser does not say. */
  readonly deviceBytes: number | null;
  readonly platform: Pick<Platform, "now" | "after">;
}

/** The models that a page's pool holds open, within its hosts. */
export class PoolBridge {
  readonly connectionPool: ConnectionPool;
  /** What this page's operations took; other sites' are none of its business. */
  readonly performanceTracker = new PerformanceHistoryTracker();
  private current: PoolOptions;
  private readonly models: PooledModel[] = [];
  private readonly opening = new Map<string, Promise<PooledModel>>();
  private promised = 0;
  readonly scaling: Scaling;
  private stopWatching: (() => void) | null = null;

  /** @throws HoldfastError BAD_OPTIONS. */
  constructor(
    readonly needs: BridgeNeeds,
    options: ResourcePoolOptions = {},
  ) {
    this.current = poolOptions(options);
    this.connectionPool = new ConnectionPool(this);
    this.scaling = new Scaling(this);
  }

  get options(): PoolOptions {
    return this.current;
  }
  /** For what is opened from now on. @throws HoldfastError BAD_OPTIONS. */
  configure(options: ResourcePoolOptions): void {
    this.current = poolOptions(options);
  }

  get openModels(): readonly PooledModel[] {
    return this.models;
  }
  /** Hosts in use, those of models on their way included. */
  get connections(): number {
    return this.promised + this.models.reduce((sum, model) => sum + carriers(model.carriers), 0);
  }

  /** The model by this name, opened unless it is open. @throws as `createSession` does, and TOO_MANY_HOSTS. */
  async getModel(type: string, name: string, preferences: ModelPreferences = {}): Promise<PooledModel> {
    const open = this.models.find(({ modelName }) => modelName === name);
    if (open !== undefined) return open;
    const underway = this.opening.get(name);
    if (underway !== undefined) return underway;
    const opening = this.open(type, name, preferences).finally(() => this.opening.delete(name));
    this.opening.set(name, opening);
    return opening;
  }

  /** Each on its own: what fails fails alone. In the order of the list. */
  executeConcurrent(list: readonly ConcurrentOperation[]): Promise<OperationResult[]> {
    return Promise.all(list.map((operation) => this.execute(operation)));
  }

  async getHealthStatus(): Promise<HealthStatus> {
    return healthOf(await this.needs.status(), Date.now());
  }

  async getMetrics(): Promise<PoolMetrics> {
    return metricsOf(await this.needs.status(), this);
  }

  async close(): Promise<void> {
    this.stopWatching?.();
    await Promise.allSettled(this.models.splice(0).map((model) => model.release()));
  }

  private async execute(operation: ConcurrentOperation): Promise<OperationResult> {
    const { modelName, modelType = "", inputs, options } = operation;
    const { platform } = this.needs;
    try {
      const model = await this.getModel(modelType, modelName);
      const since = platform.now();
      const result = await model.run(inputs, options);
      const { browserId, browserType } = model;
      return { success: true, result, browserId, browserType, metrics: { durationMs: platform.now() - since } };
    } catch (error) {
      return { success: false, error: toErrorData(error).message };
    }
  }

  private async open(type: string, name: string, preferences: ModelPreferences): Promise<PooledModel> {
    const { browser = this.options.browserPreferences[type], source, ...asked } = preferences;
    const { needs, performanceTracker: tracker } = this;
    const hosts = asked.shards ?? 1;
    const openOne = (): Promise<Session> =>
      needs.createSession(source ?? name, { ...levelOf(this.options.faultToleranceOptions), ...asked });
    await this.takeRoom(hosts);
    try {
      const [session, { browserType }] = await Promise.all([openOne(), needs.status()]);
      // Hosts run in this browser until others are linked.
      const query = { modelName: name, operationType: "inference", availableTypes: [browserType] };
      const model = new PooledModel(type, name, {
        session,
        tracker,
        choice: chooseBrowser(browser, tracker.recommendBrowserType(query), [browserType]),
        infer: (own, inputs, options) => needs.infer(own, inputs, options),
        openCopy: () => this.withRoom(session.stages.length, openOne),
        scales: this.options.adaptiveScaling,
        queued: () => void this.scaling.look(),
        now: () => needs.platform.now(),
      });
      this.models.push(model);
      if (this.options.adaptiveScaling) this.watchIdle();
      return model;
    } finally {
      this.promised -= hosts;
    }
  }

  /** Of hosts that are there anyway. */
  private async withRoom<T>(hosts: number, open: () => Promise<T>): Promise<T> {
    if (this.connections + hosts > this.options.maxConnections) throw new Error("no room");
    this.promised += hosts;
    try {
      return await open();
    } finally {
      this.promised -= hosts;
    }
  }

  /** An adaptive pool takes the hosts of the models that were not run for longest. State would be lost with them. */
  private async takeRoom(hosts: number): Promise<void> {
    const { maxConnections, adaptiveScaling } = this.options;
    while (adaptiveScaling && hosts <= maxConnections && this.connections + hosts > maxConnections) {
      if (await this.scaling.giveBack()) continue;
      const [oldest] = this.models.filter(mayClose).sort((a, b) => a.lastUsedMs - b.lastUsedMs);
      if (oldest === undefined) break;
      await this.closeModel(oldest);
    }
    if (this.connections + hosts > maxConnections)
      throw new HoldfastError(
        "TOO_MANY_HOSTS",
        `The model needs ${hosts} hosts and ${this.connections} of maxConnections ${maxConnections} are in use; release a model, or raise maxConnections.`,
      );
    // In the same breath as the check: others may be waiting for room as well.
    this.promised += hosts;
  }

  private watchIdle(): void {
    if (this.stopWatching !== null) return;
    this.stopWatching = this.needs.platform.after(SCALING_LOOK_MS, () => {
      this.stopWatching = null;
      void this.scaling.look();
      const since = this.needs.platform.now() - MODEL_IDLE_MS;
      for (const model of this.models.filter((one) => mayClose(one) && one.lastUsedMs <= since))
        void this.closeModel(model).catch(() => undefined);
      if (this.models.length > 0) this.watchIdle();
    });
  }

  async closeModel(model: PooledModel): Promise<void> {
    const at = this.models.indexOf(model);
    if (at >= 0) this.models.splice(at, 1);
    await model.release();
  }
}

function mayClose(model: PooledModel): boolean {
  return !model.isBusy && !model.keepsState;
}

/** Hosts that carry stages; other replicas have a bound of their own. */
function carriers(stages: readonly StageInfo[]): number {
  return stages.filter(({ replicaOf }) => replicaOf === undefined).length;
}

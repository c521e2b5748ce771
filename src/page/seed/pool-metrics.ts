import { BROWSER_HEALTHY_MS } from "../../base/limits.ts";
import type { HistoryStatistics, PerformanceHistoryTracker } from "../../history/tracker.ts";
import type { BreakerInfo, OriginBrowser, OriginStatus } from "../../protocol/origin.ts";
import type { PooledModel } from "./pooled-model.ts";
import type { Scaling } from "./scaling.ts";

export interface BrowserHealth {
  readonly browserType: string;
  readonly status: OriginBrowser["status"];
  /** It carries its stage, and neither failed nor closed. */
  readonly isHealthy: boolean;
  /** Epoch milliseconds. Hosts without work say nothing, so an old one is no sign of trouble. */
  readonly lastHeartbeat: number;
  readonly isIdle: boolean;
}

export interface HealthStatus {
  readonly status: "healthy" | "degraded" | "failed" | "idle";
  readonly browserCount: number;
  readonly healthyBrowserCount: number;
  readonly browsers: Readonly<Record<string, BrowserHealth>>;
}

/** `now`: epoch milliseconds. */
export function healthOf({ browsers }: OriginStatus, now: number): HealthStatus {
  const health = browsers.map(({ browserId, browserType, status, stage, lastHeartbeat }) => {
    const isHealthy = stage.phase === "ready" && status !== "failed" && status !== "closed";
    const isIdle = now - lastHeartbeat >= BROWSER_HEALTHY_MS;
    return [browserId, { browserType, status, isHealthy, lastHeartbeat, isIdle }] as const;
  });
  const healthy = health.filter(([, { isHealthy }]) => isHealthy).length;
  const some = healthy === 0 ? "failed" : "degraded";
  return {
    status: health.length === 0 ? "idle" : healthy === health.length ? "healthy" : some,
    browserCount: health.length,
    healthyBrowserCount: healthy,
    browsers: Object.fromEntries(health),
  };
}

export interface PoolMetrics {
  readonly connections: {
    readonly current: number;
    readonly max: number;
    readonly byType: Readonly<Record<string, number>>;
  };
  readonly models: Readonly<
    Record<
      string,
      {
        readonly modelType: string;
        readonly browserIds: readonly string[];
        /** Milliseconds of its successful runs; null: none. */
        readonly avgDurationMs: number | null;
        /** 0 to 1; null: no run has finished. */
        readonly failureRate: number | null;
      }
    >
  >;
  /** Of what this page did. */
  readonly performance: HistoryStatistics;
  readonly adaptiveScaling: {
    readonly enabled: boolean;
    readonly idleModels: number;
    /** By model: sessions that share its runs, and runs that wait for one of them. */
    readonly copies: Readonly<Record<string, { readonly count: number; readonly queue: number }>>;
    /** Copies that were opened and given back so far, and why the last one was opened. */
    readonly grown: number;
    readonly shrunk: number;
    readonly lastReason: string | null;
  };
  /** Bytes, as the hosts report them. */
  readonly resources: { readonly weightBytes: number; readonly tensorBytes: number; readonly heapBytes: number };
  /** Of this site's sessions: those that have seen a failure since the last success. */
  readonly circuitBreaker: readonly BreakerInfo[];
}

export function metricsOf(
  { browsers, circuitBreakers }: OriginStatus,
  pool: {
    readonly openModels: readonly PooledModel[];
    readonly connections: number;
    readonly performanceTracker: PerformanceHistoryTracker;
    readonly options: { readonly maxConnections: number; readonly adaptiveScaling: boolean };
    readonly scaling: Pick<Scaling, "grown" | "shrunk" | "lastReason">;
  },
): PoolMetrics {
  const { openModels, connections, performanceTracker: tracker, options, scaling } = pool;
  const byType: Record<string, number> = {};
  for (const { browserType } of browsers) byType[browserType] = (byType[browserType] ?? 0) + 1;
  const models = openModels.map(({ modelName, modelType, browserIds }) => {
    const avgDurationMs = tracker.getAverageDurationByModel(modelName);
    return [
      modelName,
      { modelType, browserIds, avgDurationMs, failureRate: tracker.getFailureRateByModel(modelName) },
    ] as const;
  });
  const bytes = (kind: string): number => browsers.reduce((sum, browser) => sum + resourceBytes(browser, kind), 0);
  return {
    connections: { current: connections, max: options.maxConnections, byType },
    models: Object.fromEntries(models),
    performance: tracker.getStatistics(),
    adaptiveScaling: {
      enabled: options.adaptiveScaling,
      idleModels: openModels.filter((one) => !one.isBusy).length,
      copies: Object.fromEntries(
        openModels.map(({ modelName, sessions, queue }) => [modelName, { count: sessions.length, queue }]),
      ),
      grown: scaling.grown,
      shrunk: scaling.shrunk,
      lastReason: scaling.lastReason,
    },
    resources: {
      weightBytes: browsers.reduce((sum, { stage }) => sum + stage.weightBytes, 0),
      tensorBytes: bytes("tensors"),
      heapBytes: bytes("heap"),
    },
    circuitBreaker: circuitBreakers,
  };
}

/** Of one kind ("tensors", "heap"); a host that has not told yet counts as nothing. */
export function resourceBytes({ resources }: OriginBrowser, kind: string): number {
  const resource = Object.hasOwn(resources, kind) ? (resources[kind] as { bytes?: unknown }) : {};
  return typeof resource.bytes === "number" ? resource.bytes : 0;
}

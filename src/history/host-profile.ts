import type { HostReport, MeasuredSpeed } from "../protocol/host.ts";
import { PROVIDERS, type Provider } from "../protocol/options.ts";
import type { StageMeasurement } from "../protocol/planning.ts";
import type { BrowserEvidence, HostProfile } from "../shard/host-profile.ts";
import { durationsOf, isFinished, matches, type PerformanceEntry, successRateOf } from "./entry.ts";
import { meanOf, medianOf } from "./statistics.ts";
import type { PerformanceHistoryTracker } from "./tracker.ts";

const GIB = 1024 ** 3;
/** A wasm heap has 4 GiB of addresses, and onnxruntime needs some of them for itself. */
const WASM_MEMORY_BYTES_MAX = 3 * GIB;
/** What a device has that does not tell. */
const ASSUMED_MEMORY_GIB = 4;
/** Of the device's memory; the rest is the browser's and everybody else's. All hosts share it. */
const MEMORY_SHARE = 0.5;
/** Of a provider that was never measured: one wasm thread with SIMD, and a small GPU. */
const ASSUMED_SPEED: Readonly<Record<Provider, MeasuredSpeed>> = {
  wasm: { flopsPerMs: 5e6, bytesPerMs: 4e6 },
  webgpu: { flopsPerMs: 5e8, bytesPerMs: 3e7 },
  webnn: { flopsPerMs: 1e8, bytesPerMs: 2e7 },
};
/** Between two processes: a message, and its copy. Measured by the benchmark's overhead.stage and overhead.run. */
const HOP_MS = 1.2;
const HOP_BYTES_PER_MS = 160_000;

/**
 * What a plan may count on of a host like the reported one. `measured`: its speed, where one was measured apart from the
 * report; `hosts`: how many share the device.
 */
export function hostProfile(
  { provider, capability, speed }: HostReport,
  measured: MeasuredSpeed | null = speed,
  hosts = 1,
): HostProfile {
  const shared = ((capability.memoryGiB ?? ASSUMED_MEMORY_GIB) * GIB * MEMORY_SHARE) / Math.max(1, hosts);
  const { gpuLimits } = capability;
  const { flopsPerMs, bytesPerMs } = measured ?? ASSUMED_SPEED[provider];
  return {
    browserType: capability.browser.type,
    provider,
    memoryBytes: Math.floor(provider === "wasm" ? Math.min(shared, WASM_MEMORY_BYTES_MAX) : shared),
    bufferBytesMax:
      provider === "webgpu" && gpuLimits !== null
        ? Math.min(gpuLimits.maxBufferSize, gpuLimits.maxStorageBufferBindingSize)
        : null,
    threads: capability.threads,
    flopsPerMs,
    bytesPerMs,
    hopMs: HOP_MS,
    hopBytesPerMs: HOP_BYTES_PER_MS,
  };
}

/** What history knows of these browser types' runs of a model, in their order. */
export function evidenceOf(
  tracker: PerformanceHistoryTracker,
  modelName: string,
  types: readonly string[],
): BrowserEvidence[] {
  return types.map((browserType) => {
    const finished = tracker.entries.filter(
      (entry) => isFinished(entry) && matches(entry, { modelName, browserType, operationType: "inference" }),
    );
    return {
      browserType,
      samples: finished.length,
      avgDurationMs: meanOf(durationsOf(finished)),
      successRate: successRateOf(finished) ?? 0,
    };
  });
}

/** What the stages of a model took (metric `provider`: its place in PROVIDERS), of every plan that was run: by shards and stage, in rising order. */
export function stageMeasurements(tracker: PerformanceHistoryTracker, modelName: string): StageMeasurement[] {
  const groups = new Map<string, PerformanceEntry[]>();
  for (const entry of tracker.getEntriesByModel(modelName)) {
    const { shards, stage, weightBytes, provider } = entry.metrics;
    if (entry.operation !== "inference" || durationsOf([entry]).length === 0) continue;
    const key = [shards, stage, weightBytes, provider, entry.browserType].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups.values()]
    .flatMap((entries) => {
      const { metrics, browserType } = entries[0] as PerformanceEntry;
      const { shards, stage, weightBytes } = metrics;
      const provider = PROVIDERS[metrics["provider"] ?? -1];
      const ms = medianOf(durationsOf(entries));
      if (shards === undefined || stage === undefined || weightBytes === undefined || ms === null) return [];
      if (provider === undefined) return [];
      return [{ shards, stage, weightBytes, browserType, provider, ms, samples: entries.length }];
    })
    .sort((a, b) => a.shards - b.shards || a.stage - b.stage);
}

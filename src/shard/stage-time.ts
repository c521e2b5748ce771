import type { CostModel } from "./cost-model.ts";
import type { HostProfile } from "./host-profile.ts";

/** A stage's fixed time in milliseconds: taking a run up and answering it; and that of each node. */
const STAGE_OVERHEAD_MS = 0.2;
const NODE_OVERHEAD_MS = 0.002;
/** What each tensor of a hop costs beside its bytes. */
const TENSOR_OVERHEAD_MS = 0.005;

/**
 * What a plan assumes of a host that nobody measured, of whose memory nothing is known: one thread of onnxruntime-web's wasm provider, one process from the next (hop
 * times as in the benchmark's overhead.*).
 */
export const DEFAULT_HOST: HostProfile = {
  browserType: "unknown",
  provider: "wasm",
  memoryBytes: Number.POSITIVE_INFINITY,
  bufferBytesMax: null,
  threads: 1,
  flopsPerMs: 8e6,
  bytesPerMs: 4e6,
  hopMs: 1.2,
  hopBytesPerMs: 150_000,
};

/** What every stage takes, whatever is in it. */
export function fixedMs(): number {
  return STAGE_OVERHEAD_MS;
}

/** Milliseconds that the nodes [from, to) take on a host: arithmetic or memory, whichever is slower, and what every node costs. */
export function stageMs(model: CostModel, from: number, to: number, host: HostProfile): number {
  const { flops, bytes, nodes } = model.work(from, to);
  return Math.max(flops / host.flopsPerMs, bytes / host.bytesPerMs) + nodes * NODE_OVERHEAD_MS + STAGE_OVERHEAD_MS;
}

/** Milliseconds that a host takes to send what crosses cut p to the next one; at the pipeline's end, the results to the caller. */
export function hopMs(model: CostModel, p: number, host: HostProfile): number {
  const { bytes, tensors } = model.crossing(p);
  return host.hopMs + bytes / host.hopBytesPerMs + tensors * TENSOR_OVERHEAD_MS;
}

/** Whether the nodes [from, to) fit a host's memory and the largest buffer of its provider. */
export function fits(model: CostModel, from: number, to: number, host: HostProfile): boolean {
  if (host.bufferBytesMax !== null && model.largestBytes(from, to) > host.bufferBytesMax) return false;
  return model.needBytes(from, to) <= host.memoryBytes;
}

/** One host that stands for all: the mean of each figure (of speeds the harmonic mean, so that times are averaged). */
export function meanHost(hosts: readonly HostProfile[]): HostProfile {
  const [first = DEFAULT_HOST] = hosts;
  if (hosts.length < 2) return first;
  const mean = (of: (host: HostProfile) => number): number =>
    hosts.reduce((sum, host) => sum + of(host), 0) / hosts.length;
  const speed = (of: (host: HostProfile) => number): number => 1 / mean((host) => 1 / of(host));
  return {
    ...first,
    memoryBytes: mean((host) => host.memoryBytes),
    flopsPerMs: speed((host) => host.flopsPerMs),
    bytesPerMs: speed((host) => host.bytesPerMs),
    hopMs: mean((host) => host.hopMs),
    hopBytesPerMs: speed((host) => host.hopBytesPerMs),
  };
}

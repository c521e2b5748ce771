import type { ErrorData } from "../base/errors.ts";
import { GPU_LOSSES_MAX } from "../base/limits.ts";
import type { HostCapability } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";
import type { AvoidedProvider } from "../protocol/origin.ts";

/** One thread a host: hosts are what runs in parallel, and one thread is what the exactness guarantee is stated for. */
export const THREADS = 1;

/** The caller's list, less the GPU once it was lost too often: then wasm takes over. */
export function wantedProviders(providers: readonly Provider[] | null, gpuLosses: number): readonly Provider[] | null {
  return gpuLosses > GPU_LOSSES_MAX ? ["wasm"] : providers;
}

/** The first of the caller's list that works here; with no list, the fastest that is real hardware. */
export function pickProvider(
  wanted: readonly Provider[] | null,
  { providers, softwareGpu }: Pick<HostCapability, "providers" | "softwareGpu">,
  avoid: readonly AvoidedProvider[] = [],
): Provider | null {
  const mayTake = (one: Provider): boolean => !avoid.some(({ provider }) => provider === one);
  if (wanted !== null) return wanted.find((provider) => providers.includes(provider) && mayTake(provider)) ?? null;
  // A GPU emulated on the CPU is many times slower than wasm.
  return providers.find((provider) => mayTake(provider) && (provider !== "webgpu" || !softwareGpu)) ?? null;
}

/** All that works here and may be taken has failed too often: when the first of it is tried again. */
export function circuitOpen(avoid: readonly AvoidedProvider[]): ErrorData {
  const until = Math.min(...avoid.map((one) => one.until));
  const names = avoid.map(({ provider }) => provider).join(", ");
  return {
    code: "CIRCUIT_OPEN",
    category: "UNKNOWN",
    message: `Hosts of this stage failed again and again with ${names}; none is started before ${new Date(until).toISOString()}. Try again then, or with another provider.`,
  };
}

/** An emulated GPU is slow to no purpose; WebNN compiles a graph for longer than a measurement may take. */
export function isMeasurable(provider: Provider, { softwareGpu }: Pick<HostCapability, "softwareGpu">): boolean {
  return provider === "wasm" || (provider === "webgpu" && !softwareGpu);
}

export function noProvider(wanted: readonly Provider[], { providers }: Pick<HostCapability, "providers">): ErrorData {
  return {
    code: "PROVIDER_UNAVAILABLE",
    category: wanted[0] === "webnn" ? "WEBNN" : "WEBGPU",
    message: `None of ${wanted.join(", ")} works in this browser (${providers.join(", ")} does). List wasm as well, or leave executionProviders out.`,
  };
}

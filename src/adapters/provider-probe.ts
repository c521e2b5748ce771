import { THREADS } from "../host/providers.ts";
import type { HostCapability } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";
import { deviceMemoryGiB, ownBrowser } from "./own-browser.ts";

type Gpu = Pick<HostCapability, "softwareGpu" | "gpuLimits">;

/**
 * Which providers really work here, and what there is of the device. A device or context is made: an adapter alone, or `navigator.ml`, promises nothing.
 * `gpuWaitMs`: how long to ask again for a GPU that was just lost.
 */
export async function probeProviders(wanted: readonly Provider[] | null, gpuWaitMs: number): Promise<HostCapability> {
  const worth = (provider: Provider): boolean => wanted === null || wanted.includes(provider);
  const [gpu, webnn] = await Promise.all([
    worth("webgpu") ? probeGpu(gpuWaitMs) : null,
    worth("webnn") && probeWebnn(),
  ]);
  const providers: Provider[] = [
    ...(gpu === null ? [] : ["webgpu" as const]),
    ...(webnn ? ["webnn" as const] : []),
    "wasm",
  ];
  return {
    browser: ownBrowser(),
    providers,
    softwareGpu: gpu?.softwareGpu ?? false,
    gpuLimits: gpu?.gpuLimits ?? null,
    threads: THREADS,
    cores: navigator.hardwareConcurrency,
    memoryGiB: deviceMemoryGiB(),
  };
}

async function probeGpu(waitMs: number): Promise<Gpu | null> {
  const until = performance.now() + waitMs;
  for (;;) {
    const found = await tryGpu();
    if (found !== null || performance.now() >= until) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function tryGpu(): Promise<Gpu | null> {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const device = await adapter.requestDevice();
    device.destroy();
    const info = adapter.info as GPUAdapterInfo & { isFallbackAdapter?: boolean };
    // A device gets the least that WebGPU promises unless more is asked for, as onnxruntime does; the adapter says how much.
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
    return {
      gpuLimits: { maxBufferSize, maxStorageBufferBindingSize },
      softwareGpu:
        info.isFallbackAdapter === true ||
        /swiftshader|llvmpipe|lavapipe/i.test(`${info.architecture} ${info.description}`),
    };
  } catch {
    return null;
  }
}

async function probeWebnn(): Promise<boolean> {
  const ml = (navigator as { ml?: { createContext(options: object): Promise<{ destroy?(): void }> } }).ml;
  for (const deviceType of ["gpu", "npu", "cpu"]) {
    try {
      (await ml?.createContext({ deviceType }))?.destroy?.();
      if (ml !== undefined) return true;
    } catch {
      // This device type is not served; the next may be.
    }
  }
  return false;
}

import type { HostCapability } from "../protocol/host.ts";
import type { Provider } from "../protocol/options.ts";

/**
 * Which providers really work here. A device or context is made: an adapter alone, or `navigator.ml`, promises nothing.
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
  return { providers, softwareGpu: gpu?.software ?? false };
}

async function probeGpu(waitMs: number): Promise<{ software: boolean } | null> {
  const until = performance.now() + waitMs;
  for (;;) {
    const found = await tryGpu();
    if (found !== null || performance.now() >= until) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function tryGpu(): Promise<{ software: boolean } | null> {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const device = await adapter.requestDevice();
    device.destroy();
    const info = adapter.info as GPUAdapterInfo & { isFallbackAdapter?: boolean };
    return {
      software:
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

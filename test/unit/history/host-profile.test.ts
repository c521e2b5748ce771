import { describe, expect, it } from "vitest";
import { evidenceOf, hostProfile, stageMeasurements } from "../../../src/history/host-profile.ts";
import type { HostReport } from "../../../src/protocol/host.ts";
import { PROVIDERS } from "../../../src/protocol/options.ts";
import { History } from "./build.ts";

const GIB = 2 ** 30;
const REPORT: HostReport = {
  provider: "webgpu",
  at: 1,
  capability: {
    browser: { type: "edge", version: "150" },
    providers: ["webgpu", "wasm"],
    softwareGpu: false,
    gpuLimits: { maxBufferSize: 4 * GIB, maxStorageBufferBindingSize: 2 * GIB },
    threads: 1,
    cores: 8,
    memoryGiB: 16,
  },
  speed: { flopsPerMs: 9e8, bytesPerMs: 5e7, at: 1 },
};
const WASM: HostReport = { ...REPORT, provider: "wasm" };

describe("the profile of a host", () => {
  it("is what its report says", () => {
    expect(hostProfile(REPORT)).toMatchObject({
      browserType: "edge",
      provider: "webgpu",
      memoryBytes: 8 * GIB,
      bufferBytesMax: 2 * GIB,
      threads: 1,
      flopsPerMs: 9e8,
      bytesPerMs: 5e7,
    });
  });

  it("has no limit of the GPU where it does not compute on it, and no more memory than wasm has", () => {
    expect(hostProfile(WASM)).toMatchObject({ bufferBytesMax: null, memoryBytes: 3 * GIB });
  });

  it("shares the device's memory with the other hosts", () => {
    expect(hostProfile(WASM, WASM.speed, 4).memoryBytes).toBe(2 * GIB);
    expect(hostProfile(REPORT, REPORT.speed, 4).memoryBytes).toBe(2 * GIB);
  });

  it("takes a speed that was measured elsewhere, and assumes one where none was", () => {
    expect(hostProfile(REPORT, { flopsPerMs: 1, bytesPerMs: 2 })).toMatchObject({ flopsPerMs: 1, bytesPerMs: 2 });
    const assumed = hostProfile({ ...REPORT, speed: null });
    expect(assumed.flopsPerMs).toBeGreaterThan(hostProfile({ ...WASM, speed: null }).flopsPerMs);
    for (const number of [assumed.flopsPerMs, assumed.bytesPerMs, assumed.hopMs, assumed.hopBytesPerMs])
      expect(number).toBeGreaterThan(0);
  });

  it("assumes 4 GiB where the browser does not tell", () => {
    const capability = { ...REPORT.capability, memoryGiB: null, gpuLimits: null };
    expect(hostProfile({ ...REPORT, capability })).toMatchObject({ memoryBytes: 2 * GIB, bufferBytesMax: null });
  });
});

describe("the evidence", () => {
  it("is of finished runs of the model, for each type that was asked for", () => {
    const { tracker } = new History()
      .record({ ms: 10 }, { ms: 20, status: "recovered" }, { ms: 500, status: "failed" }, { status: "running" })
      .record({ ms: 7, type: "firefox", model: "n" }, { ms: 900, operation: "load" })
      .record({ status: "failed", type: "edge" });
    expect(evidenceOf(tracker, "m", ["firefox", "chrome", "edge"])).toEqual([
      { browserType: "firefox", samples: 0, avgDurationMs: null, successRate: 0 },
      { browserType: "chrome", samples: 3, avgDurationMs: 15, successRate: 2 / 3 },
      { browserType: "edge", samples: 1, avgDurationMs: null, successRate: 0 },
    ]);
  });
});

describe("stage measurements", () => {
  const at = (stage: number, shards: number, weightBytes: number) => ({
    metrics: { stage, shards, weightBytes, provider: PROVIDERS.indexOf("wasm") },
  });

  it("are the median of a stage's reports, apart for other plans and browsers, in order", () => {
    const { tracker } = new History()
      .times([10, 11, 90], at(1, 2, 500))
      .times([4], at(0, 2, 300))
      .times([5, 7], at(0, 2, 400))
      .times([6], { ...at(0, 2, 400), type: "edge" })
      .times([30], at(0, 1, 800))
      .times([1], { metrics: { ...at(1, 2, 500).metrics, provider: PROVIDERS.indexOf("webgpu") } });
    const measured = (
      shards: number,
      stage: number,
      weightBytes: number,
      ms: number,
      samples: number,
      type = "chrome",
    ) => {
      return { shards, stage, weightBytes, browserType: type, provider: "wasm", ms, samples };
    };
    expect(stageMeasurements(tracker, "m")).toEqual([
      measured(1, 0, 800, 30, 1),
      measured(2, 0, 300, 4, 1),
      measured(2, 0, 400, 6, 2),
      measured(2, 0, 400, 6, 1, "edge"),
      measured(2, 1, 500, 11, 3),
      { ...measured(2, 1, 500, 1, 1), provider: "webgpu" },
    ]);
  });

  it("are none of failures, loads, other models, and entries that name no stage", () => {
    const { tracker } = new History()
      .times([5], { ...at(0, 1, 8), status: "failed" })
      .times([5], { ...at(0, 1, 8), operation: "load" })
      .times([5], { ...at(0, 1, 8), model: "n" })
      .times([5]);
    expect(stageMeasurements(tracker, "m")).toEqual([]);
  });
});

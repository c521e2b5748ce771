import { describe, expect, it } from "vitest";
import { SPEED_KEPT_MS } from "../../../src/base/limits.ts";
import { HostReports } from "../../../src/history/host-reports.ts";
import { REPORTS_MAX } from "../../../src/history/thresholds.ts";
import type { HostCapability } from "../../../src/protocol/host.ts";

const BROWSER = { type: "chrome", version: "150" };
const SPEED = { flopsPerMs: 7e6, bytesPerMs: 3e6 };

function capability(more: Partial<HostCapability> = {}): HostCapability {
  const gpuLimits = { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 27 };
  const device = { softwareGpu: false, gpuLimits, threads: 1, cores: 8, memoryGiB: 8 };
  return { browser: BROWSER, providers: ["webgpu", "wasm"], ...device, ...more };
}

describe("capability reports", () => {
  it("are kept one a browser type and provider, the newest", () => {
    const reports = new HostReports(BROWSER);
    reports.add("wasm", capability({ cores: 2 }), null, 10);
    reports.add("wasm", capability(), null, 20);
    reports.add("webgpu", capability(), null, 30);
    reports.add("wasm", capability({ browser: { type: "edge", version: "9" }, cores: 16 }), null, 40);
    expect(reports.own("wasm")).toEqual({ provider: "wasm", at: 20, capability: capability(), speed: null });
    expect(reports.own("webgpu")?.at).toBe(30);
    expect(reports.own("webnn")).toBeNull();
    expect(reports.get("edge", "wasm")?.capability.cores).toBe(16);
  });

  it("keep the last speed that was measured, until the browser is another version", () => {
    const reports = new HostReports(BROWSER);
    reports.add("wasm", capability(), SPEED, 10);
    reports.add("wasm", capability(), null, 20);
    expect(reports.own("wasm")).toMatchObject({ at: 20, speed: { ...SPEED, at: 10 } });
    reports.add("wasm", capability(), { ...SPEED, flopsPerMs: 1 }, 30);
    expect(reports.own("wasm")?.speed).toMatchObject({ flopsPerMs: 1, at: 30 });
    reports.add("wasm", capability({ browser: { ...BROWSER, version: "151" } }), null, 40);
    expect(reports.own("wasm")?.speed).toBeNull();
  });

  it("say which providers of this browser are to be measured", () => {
    const reports = new HostReports(BROWSER);
    reports.add("webgpu", capability({ browser: { type: "edge", version: "9" } }), SPEED, 10);
    expect(reports.unmeasured(10)).toEqual(["webgpu", "webnn", "wasm"]);
    reports.add("wasm", capability(), SPEED, 10);
    expect(reports.unmeasured(10 + SPEED_KEPT_MS)).toEqual(["webgpu", "webnn"]);
    expect(reports.unmeasured(11 + SPEED_KEPT_MS)).toContain("wasm");
    // The clock was set back by more than a speed is kept.
    expect(reports.unmeasured(9 - SPEED_KEPT_MS)).toContain("wasm");
  });

  it("are bounded: the one that is longest without news goes", () => {
    const reports = new HostReports(BROWSER);
    for (let n = 0; n <= REPORTS_MAX; n++)
      reports.add("wasm", capability({ browser: { type: `b${n}`, version: "" } }), null, n);
    expect(reports.toJSON()).toHaveLength(REPORTS_MAX);
    expect(reports.get("b0", "wasm")).toBeNull();
    expect(reports.get(`b${REPORTS_MAX}`, "wasm")).not.toBeNull();
  });

  it("come back from storage, and are refused when they are damaged", () => {
    const reports = new HostReports(BROWSER);
    reports.add("wasm", capability(), SPEED, 10);
    reports.add("webgpu", capability({ gpuLimits: null, memoryGiB: null }), null, 20);
    const stored = JSON.parse(JSON.stringify(reports));
    expect(HostReports.from(stored, BROWSER).toJSON()).toEqual(reports.toJSON());
    for (const damaged of [null, {}, [{}], [{ ...stored[0], provider: "cuda" }], [{ ...stored[0], at: "now" }]])
      expect(() => HostReports.from(damaged, BROWSER)).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });
});

import { describe, expect, it } from "vitest";
import { BrowserState } from "../../../src/state/browser-state.ts";

function started() {
  const clock = { at: 1_000, now: () => clock.at };
  return { clock, browser: new BrowserState("browser-1", "chrome", clock) };
}

describe("a new browser", () => {
  it("has what the seed's has", () => {
    const { browser } = started();
    expect(browser.toJSON()).toEqual({
      browserId: "browser-1",
      browserType: "chrome",
      status: "initialized",
      lastHeartbeat: 1_000,
      models: {},
      operations: {},
      resources: {},
      metrics: {},
      recoveryAttempts: 0,
      checkpoints: [],
    });
  });
});

describe("a browser's health", () => {
  it.each<[string, (browser: BrowserState) => void]>([
    ["a status", (browser) => browser.updateStatus("running")],
    ["a model", (browser) => browser.addModel("m", {})],
    ["an operation", (browser) => browser.addOperation("o", {})],
    ["the end of an operation", (browser) => browser.completeOperation("o")],
    ["a resource", (browser) => browser.addResource("r", { bytes: 1 })],
    ["metrics", (browser) => browser.updateMetrics({ latencyMs: 1 })],
    ["a heartbeat", (browser) => browser.heartbeat()],
  ])("is refreshed by %s", (_, hear) => {
    const { clock, browser } = started();
    clock.at += 29_999;
    expect(browser.isHealthy()).toBe(true);
    clock.at += 1;
    expect(browser.isHealthy()).toBe(false);
    hear(browser);
    expect(browser.isHealthy()).toBe(true);
  });

  it("is not refreshed by what others decide about it", () => {
    const { clock, browser } = started();
    browser.createCheckpoint();
    clock.at += 30_000;
    browser.createCheckpoint();
    expect(browser.isHealthy()).toBe(false);
    expect(browser.isHealthy(60_000)).toBe(true);
  });

  it.each(["failed", "closed"] as const)("is bad while it is %s, whenever it was heard", (status) => {
    const { browser } = started();
    browser.updateStatus(status);
    browser.heartbeat();
    expect(browser.isHealthy()).toBe(false);
    browser.updateStatus("recovering");
    expect(browser.isHealthy()).toBe(true);
  });
});

describe("what has ended", () => {
  it("is removed: operations, resources, models", () => {
    const { browser } = started();
    browser.addModel("m", { model_type: "bert" });
    browser.addOperation("o", { type: "inference" });
    browser.addResource("r", { bytes: 8 });
    expect(browser.operations).toEqual({ o: { type: "inference", status: "running" } });
    browser.completeOperation("o", "failed");
    browser.removeResource("r");
    browser.removeModel("m");
    expect([browser.models, browser.operations, browser.resources]).toEqual([{}, {}, {}]);
  });
});

describe("checkpoints", () => {
  it("hold everything that is put back, and are bounded to the newest five", () => {
    const { clock, browser } = started();
    browser.addModel("m", { model_type: "bert" });
    for (let count = 0; count < 7; count++) {
      clock.at += 1;
      browser.updateMetrics({ count });
      browser.createCheckpoint();
    }
    expect(browser.checkpoints.map(({ timestamp }) => timestamp)).toEqual([1_003, 1_004, 1_005, 1_006, 1_007]);
    expect(browser.getLatestCheckpoint()).toEqual({
      timestamp: 1_007,
      browserId: "browser-1",
      browserType: "chrome",
      status: "initialized",
      models: { m: { model_type: "bert" } },
      operations: {},
      resources: {},
      metrics: { count: 6 },
    });
  });

  it("are made when it fails, of what it was before", () => {
    const { browser } = started();
    browser.updateStatus("running");
    browser.addOperation("o", {});
    browser.updateStatus("failed");
    browser.updateStatus("failed");
    expect(browser.checkpoints).toMatchObject([{ status: "running", operations: { o: { status: "running" } } }]);
  });

  it("share nothing with what the caller holds", () => {
    const { browser } = started();
    const config = { layers: [1] };
    browser.addModel("m", { config });
    config.layers.push(2);
    expect(browser.models).toEqual({ m: { config: { layers: [1] } } });
  });
});

describe("recovery attempts", () => {
  it("count recoveries, not starts", () => {
    const { browser } = started();
    browser.updateStatus("recovering");
    browser.updateStatus("running");
    expect(browser.recoveryAttempts).toBe(0);
    browser.updateStatus("failed");
    browser.updateStatus("recovering");
    expect(browser.recoveryAttempts).toBe(1);
  });
});

describe("JSON", () => {
  it("and back gives an equal browser that goes on", () => {
    const { clock, browser } = started();
    browser.addModel("m", { model_type: "bert" });
    browser.createCheckpoint();
    const copy = BrowserState.from(JSON.parse(JSON.stringify(browser)), clock);
    expect(copy.toJSON()).toEqual(browser.toJSON());
    copy.updateStatus("running");
    expect([copy.status, browser.status]).toEqual(["running", "initialized"]);
  });

  it.each<[string, unknown]>([
    ["nothing", null],
    ["a number", 7],
    ["an unknown status", { ...started().browser.toJSON(), status: "dead" }],
    ["no id", { ...started().browser.toJSON(), browserId: undefined }],
    ["too many checkpoints", { ...started().browser.toJSON(), checkpoints: Array(6).fill({}) }],
  ])("that is %s is refused", (_, json) => {
    expect(() => BrowserState.from(json, started().clock)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });

  it.each<[string, object]>([
    ["a function", { run: () => 1 }],
    ["a bigint", { big: 1n }],
    ["NaN", { value: Number.NaN }],
  ])("cannot carry %s: refused", (_, state) => {
    expect(() => started().browser.addModel("m", state as never)).toThrow(
      expect.objectContaining({ code: "BAD_OPTIONS" }),
    );
  });

  it("cannot carry a cycle: refused", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = { cycle };
    expect(() => started().browser.updateMetrics(cycle as never)).toThrow("cycle");
  });
});

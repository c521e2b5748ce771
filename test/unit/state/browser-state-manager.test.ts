import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadSha256 } from "../../../src/base/digest.ts";
import { applyBrowserDelta, diffBrowser } from "../../../src/state/browser-delta.ts";
import type { Browsers } from "../../../src/state/browser-record.ts";
import { applyBrowserTransaction } from "../../../src/state/browser-reducer.ts";
import { BrowserStateManager } from "../../../src/state/browser-state-manager.ts";
import { canonicalJson } from "../../../src/state/canonical.ts";
import { HISTORY } from "./log/histories.ts";

const sha256 = await loadSha256();
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function started() {
  const clock = { at: 1_620_000_000_123, now: () => clock.at };
  const manager = new BrowserStateManager({ sha256, now: clock.now, newId: () => crypto.randomUUID() });
  return { clock, manager };
}

/** The seed's example, word for word in TypeScript. */
function seedExample() {
  const { manager, clock } = started();
  const browser = manager.addBrowser("browser-1", "chrome");
  manager.updateBrowserStatus("browser-1", "running");
  manager.addModelToBrowser("browser-1", "model-1", { model_type: "bert", config: { layers: 12 } });
  const checkpoint = manager.createBrowserCheckpoint("browser-1");
  return { manager, clock, browser, checkpoint };
}

describe("the seed's example", () => {
  it("gives the checkpoint and the summary that it names", () => {
    const { manager, checkpoint } = seedExample();
    expect(checkpoint).toEqual({
      timestamp: 1_620_000_000_123,
      browserId: "browser-1",
      browserType: "chrome",
      status: "running",
      models: { "model-1": { model_type: "bert", config: { layers: 12 } } },
      operations: {},
      resources: {},
      metrics: {},
    });
    expect(manager.getStatusSummary()).toEqual({
      browserCount: 1,
      healthyBrowserCount: 1,
      browserTypes: { chrome: 1 },
      modelCount: 1,
      operationCount: 0,
      resourceCount: 0,
      transactionCount: 4,
    });
  });

  it("is logged in the seed's form", async () => {
    const log = await seedExample().manager.exportLog();
    expect(log.map(({ action }) => action)).toEqual([
      "add_browser",
      "update_browser_status",
      "add_model_to_browser",
      "create_browser_checkpoint",
    ]);
    expect(log[2]).toEqual({
      id: expect.stringMatching(UUID),
      timestamp: 1_620_000_000.123,
      action: "add_model_to_browser",
      data: {
        browser_id: "browser-1",
        model_id: "model-1",
        model_state: { model_type: "bert", config: { layers: 12 } },
      },
      sequence: 3,
    });
  });

  it("gives a browser that shows the present state, and changes it", () => {
    const { manager, browser } = seedExample();
    manager.addOperationToBrowser("browser-1", "op", { type: "inference" });
    expect(Object.keys(browser.operations)).toEqual(["op"]);
    browser.completeOperation("op");
    expect(manager.getStatusSummary().operationCount).toBe(0);
    expect(manager.getStatusSummary().transactionCount).toBe(6);
  });
});

describe("restoring", () => {
  it("puts back what was there before the failure, not the failure", () => {
    const { manager } = seedExample();
    manager.addOperationToBrowser("browser-1", "op", {});
    manager.addResourceToBrowser("browser-1", "tensors", { bytes: 64 });
    const digest = manager.digest("browser-1");
    manager.updateBrowserStatus("browser-1", "failed");
    manager.createBrowserCheckpoint("browser-1");
    manager.completeOperation("browser-1", "op", "failed");
    manager.removeResourceFromBrowser("browser-1", "tensors");
    manager.removeModelFromBrowser("browser-1", "model-1");
    const restored = manager.restoreBrowserCheckpoint("browser-1");
    expect(restored).toEqual(manager.getBrowserCheckpoint("browser-1"));
    expect(manager.digest("browser-1")).toBe(digest);
    expect(manager.getBrowser("browser-1")?.recoveryAttempts).toBe(1);
  });

  it("takes a checkpoint that the caller kept", () => {
    const { manager, checkpoint } = seedExample();
    manager.removeModelFromBrowser("browser-1", "model-1");
    manager.restoreBrowserCheckpoint("browser-1", checkpoint);
    expect(manager.getBrowserByModel("model-1")?.browserId).toBe("browser-1");
  });

  it("needs a checkpoint", () => {
    const { manager } = started();
    manager.addBrowser("b", "firefox");
    expect(() => manager.restoreBrowserCheckpoint("b")).toThrow(expect.objectContaining({ code: "STATE_LOST" }));
    expect(() => manager.restoreBrowserCheckpoint("b", {} as never)).toThrow(
      expect.objectContaining({ code: "BAD_OPTIONS" }),
    );
  });
});

describe("replaying the log", () => {
  it("gives the same state", async () => {
    const { manager } = seedExample();
    const before = manager.getBrowser("browser-1")?.toJSON();
    expect(await manager.replayTransactions(2)).toMatchObject({ replayed: 4, sequence: 4, isSame: true });
    expect(manager.getBrowser("browser-1")?.toJSON()).toEqual(before);
  });
});

describe("failover", () => {
  it("moves models and operations, and leaves memory and metrics with the process that had them", () => {
    const { manager } = seedExample();
    manager.addBrowser("browser-2", "firefox");
    manager.addModelToBrowser("browser-2", "model-2", {});
    manager.addOperationToBrowser("browser-1", "op", {});
    manager.addResourceToBrowser("browser-1", "tensors", { bytes: 64 });
    const { modelIds, operationIds, digest } = manager.migrateState("browser-1", "browser-2");
    expect([modelIds, operationIds, digest.length]).toEqual([["model-1"], ["op"], 64]);
    expect(manager.getBrowser("browser-2")).toMatchObject({
      models: { "model-1": { model_type: "bert" }, "model-2": {} },
      operations: { op: { status: "running" } },
      resources: {},
    });
    expect(manager.getBrowser("browser-1")).toMatchObject({ models: {}, operations: {}, resources: { tensors: {} } });
    expect(manager.getBrowserByModel("model-1")?.browserId).toBe("browser-2");
  });

  it("to itself is refused", () => {
    expect(() => seedExample().manager.migrateState("browser-1", "browser-1")).toThrow("another browser");
  });
});

describe("a standby", () => {
  it("follows by deltas that carry only what changed", () => {
    const { manager } = seedExample();
    const standby = manager.addBrowser("standby", "chrome");
    manager.applyDelta("standby", manager.deltaOf("browser-1", standby));
    expect(manager.digest("standby")).toBe(manager.digest("browser-1"));
    manager.addResourceToBrowser("browser-1", "tensors", { bytes: 64 });
    manager.updateBrowserMetrics("browser-1", { latencyMs: 3 });
    const delta = manager.deltaOf("browser-1", standby);
    expect(delta).toMatchObject({
      status: null,
      put: { resources: { tensors: { bytes: 64 } }, metrics: { latencyMs: 3 } },
      remove: {},
    });
    expect(delta.put.models).toBeUndefined();
    manager.applyDelta("standby", delta);
    expect([manager.digest("standby"), standby.recoveryAttempts]).toEqual([manager.digest("browser-1"), 0]);
  });

  it("refuses a delta that does not continue what it has, or was damaged", () => {
    const { manager } = seedExample();
    const standby = manager.addBrowser("standby", "chrome");
    const delta = manager.deltaOf("browser-1", standby);
    expect(() => manager.applyDelta("standby", { ...delta, status: "degraded" })).toThrow("damaged");
    standby.addModel("other", {});
    expect(() => manager.applyDelta("standby", delta)).toThrow(expect.objectContaining({ code: "STATE_LOST" }));
    expect(Object.keys(standby.models)).toEqual(["other"]);
  });

  it("reaches the same digest from any state to any other", () => {
    const states = HISTORY.map((list) =>
      list.reduce<Browsers>((state, transaction) => applyBrowserTransaction(state, transaction, 1), {}),
    );
    fc.assert(
      fc.property(states, states, (left, right) => {
        for (const from of Object.values(left)) {
          for (const to of Object.values(right)) {
            const delta = JSON.parse(canonicalJson(diffBrowser(from, to, sha256)));
            expect(diffBrowser(applyBrowserDelta(from, delta, sha256), to, sha256)).toMatchObject({
              from: delta.to,
              put: {},
              remove: {},
            });
          }
        }
      }),
    );
  });
});

describe("finding browsers", () => {
  it("by model prefers a healthy one", () => {
    const { manager, clock } = seedExample();
    clock.at += 60_000;
    manager.addBrowser("browser-2", "edge").addModel("shard-0", { model: "model-1" });
    expect(manager.getBrowserByModel("model-1")?.browserId).toBe("browser-2");
    expect(manager.getHealthyBrowsers().map(({ browserId }) => browserId)).toEqual(["browser-2"]);
    expect(manager.getHealthyBrowsers(60_001)).toHaveLength(2);
    expect(manager.getBrowserByModel("none")).toBeNull();
  });

  it("counts them by type", () => {
    const { manager } = seedExample();
    manager.addBrowser("browser-2", "chrome");
    manager.addBrowser("browser-3", "firefox");
    manager.removeBrowser("browser-2");
    expect(manager.getBrowserCountByType()).toEqual({ chrome: 1, firefox: 1 });
  });

  it("adding one again gives the one that is there; as another type it is refused", () => {
    const { manager } = seedExample();
    expect(Object.keys(manager.addBrowser("browser-1", "chrome").models)).toEqual(["model-1"]);
    expect(() => manager.addBrowser("browser-1", "edge")).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });

  it.each<[string, (manager: BrowserStateManager) => unknown]>([
    ["status", (manager) => manager.updateBrowserStatus("?", "running")],
    ["model", (manager) => manager.addModelToBrowser("?", "m", {})],
    ["operation", (manager) => manager.addOperationToBrowser("?", "o", {})],
    ["resource", (manager) => manager.addResourceToBrowser("?", "r", {})],
    ["metrics", (manager) => manager.updateBrowserMetrics("?", {})],
    ["checkpoint", (manager) => manager.createBrowserCheckpoint("?")],
    ["restore", (manager) => manager.restoreBrowserCheckpoint("?")],
    ["removal", (manager) => manager.removeBrowser("?")],
    ["migration", (manager) => manager.migrateState("browser-1", "?")],
    ["a name of every object's", (manager) => manager.heartbeat("constructor")],
  ])("one that is not known is refused: %s", (_, act) => {
    const { manager } = seedExample();
    expect(() => act(manager)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
    expect(manager.getBrowser("?")).toBeNull();
    expect(manager.getStatusSummary().transactionCount).toBe(4);
  });
});

import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../../src/base/errors.ts";
import { BrowserCopies } from "../../../../src/page/seed/browser-copies.ts";
import { PoolBridge } from "../../../../src/page/seed/pool-bridge.ts";
import { ResourcePoolRecoveryManager } from "../../../../src/page/seed/recovery-manager.ts";
import { runWithRecovery } from "../../../../src/page/seed/run-with-recovery.ts";
import type { Session } from "../../../../src/page/session.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "../../pool/fake-browser.ts";

const OWN = { bridgeId: BRIDGE, origin: ORIGIN, framedBy: null };

/** The seed's classes over the real pool, whose browser is fake; time passes as they wait. */
async function world() {
  const browser = new FakeBrowser();
  const failures: Error[] = [];
  const copies = new BrowserCopies();
  const bridge = new PoolBridge({
    createSession: async (): Promise<Session> => {
      const info = await browser.live(2);
      const stages = info.stages;
      const plan = { stateInputs: [] };
      return { id: info.sessionId, stages, plan, busy: false, on: () => () => undefined } as unknown as Session;
    },
    infer: async () => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return { outputs: {}, text: "done", ids: [] };
    },
    status: () => copies.status((known) => browser.calls().originStatus({ ...OWN, known })),
    failHost: (hostId, signal) => browser.calls().failHost({ ...OWN, hostId, signal }),
    moveHost: (hostId) => browser.calls().moveHost({ ...OWN, hostId }),
    deviceBytes: null,
    platform: {
      now: () => browser.now,
      after: (ms, action) => {
        void browser.pass(ms).then(action);
        return () => undefined;
      },
    },
  });
  const manager = new ResourcePoolRecoveryManager({ connectionPool: bridge.connectionPool });
  await manager.initialize();
  return { browser, bridge, manager, failures };
}

describe("a host that the page finds failed", () => {
  it("is recovered by the pool, and the state manager shows it", async () => {
    const { browser, bridge, manager } = await world();
    const { browserId } = await bridge.getModel("text", "bert");
    expect(await manager.handleBrowserFailure(browserId, new Error("Browser crashed"))).toEqual({
      success: true,
      recoveryType: "restart",
      recoveryAttempt: 1,
      browserId,
      browserType: "chrome",
      failedBrowserId: browserId,
    });
    expect(browser.session?.stages[0]).toMatchObject({ phase: "ready", attempt: 1 });
    expect(manager.stateManager.getStatusSummary()).toMatchObject({ browserCount: 2, browserTypes: { chrome: 2 } });
    expect(manager.getRecoveryStatistics()).toMatchObject({ recoveryAttempts: 1, successRate: 1, totalBrowsers: 2 });
  });

  it("whose tab is gone is replaced by another, which is named", async () => {
    const { browser, bridge, manager } = await world();
    const { browserId } = await bridge.getModel("text", "bert");
    await browser.closeTab(0);
    const result = await manager.handleBrowserFailure(browserId, new Error("the tab went away"));
    const now = browser.hostOf(0);
    expect(now).not.toBe(browserId);
    expect(result).toMatchObject({
      success: true,
      recoveryType: "failover",
      browserId: now,
      failedBrowserId: browserId,
    });
    expect(result).toMatchObject({ failoverBrowserId: now, failoverBrowserType: "chrome" });
    expect(manager.stateManager.getBrowser(browserId)).toBeNull();
  });

  it("is not recovered when it is none of the site's, or the error is the caller's own", async () => {
    const { browser, bridge, manager } = await world();
    const { browserId } = await bridge.getModel("text", "bert");
    expect(await manager.handleBrowserFailure("browser-1", new Error("x"))).toMatchObject({ success: false });
    const own = new HoldfastError("BAD_FEEDS", "the feeds do not fit");
    expect(await manager.handleBrowserFailure(browserId, own)).toMatchObject({
      success: false,
      recoveryType: "none",
      error: "the feeds do not fit",
    });
    expect(browser.state.faults).toEqual([]);
  });
});

describe("runWithRecovery", () => {
  const run = { modelName: "bert", operation: "inference", inputs: { text: "Example input" } };

  it("answers at once where nothing fails", async () => {
    const { bridge, manager } = await world();
    const result = await runWithRecovery({ ...run, pool: bridge, recoveryManager: manager });
    expect(Object.keys(result).sort()).toEqual(["browserId", "browserType", "metrics", "result", "success"]);
  });

  it("recovers the host and runs once more", async () => {
    const { browser, bridge, manager, failures } = await world();
    failures.push(new HoldfastError("HOST_LOST", "the host died"));
    const result = await runWithRecovery({ ...run, pool: bridge, recoveryManager: manager });
    expect(result).toMatchObject({ success: true, recovered: true, originalError: "the host died" });
    expect(result).toMatchObject({ recoveryBrowser: browser.hostOf(0), result: { text: "done" } });
    expect(manager.performanceTracker.getFailureRateByModel("bert")).toBe(0.5);
  });

  it("fails where the error is the caller's, and for operations that there are not", async () => {
    const { bridge, manager, failures } = await world();
    failures.push(new HoldfastError("BAD_FEEDS", "the feeds do not fit"));
    expect(await runWithRecovery({ ...run, pool: bridge, recoveryManager: manager })).toEqual({
      success: false,
      error: "the feeds do not fit",
    });
    const other = { ...run, operation: "training", pool: bridge, recoveryManager: manager };
    expect(await runWithRecovery(other)).toMatchObject({ success: false });
  });
});

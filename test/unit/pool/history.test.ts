import { describe, expect, it } from "vitest";
import { HISTORY_WRITE_MS, SPEED_KEPT_MS } from "../../../src/base/limits.ts";
import type { PerformanceEntry } from "../../../src/history/entry.ts";
import type { StageTimes } from "../../../src/protocol/host.ts";
import { BRIDGE, CAPABILITY, FakeBrowser } from "./fake-browser.ts";

const TIMES: StageTimes = { runs: 9, medianMs: 12, minMs: 10, maxMs: 30 };

function rows(
  browser: FakeBrowser,
  operation?: string,
): Pick<PerformanceEntry, "operation" | "status" | "durationMs">[] {
  return browser.history.tracker.entries
    .filter((entry) => operation === undefined || entry.operation === operation)
    .map(({ operation: name, status, durationMs }) => ({ operation: name, status, durationMs }));
}
function lease(browser: FakeBrowser, stage: number): { hostId: string; attempt: number } {
  const record = browser.session?.stages[stage];
  return { hostId: record?.hostId ?? "", attempt: record?.attempt ?? -1 };
}
function verify(browser: FakeBrowser): void {
  browser.pool.driverReports(BRIDGE).verified({ sessionId: browser.session?.sessionId ?? "" });
}

describe("a load", () => {
  it("is timed from its first host to the live session", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const [load] = browser.history.tracker.entries;
    expect(load).toMatchObject({
      operation: "load",
      status: "completed",
      modelName: "model",
      browserType: "chrome",
      browserId: browser.hostOf(0),
      metrics: { shards: 2, weightBytes: 16 },
    });
    expect(load?.durationMs).toBeGreaterThan(30);
    expect(load?.durationMs).toBeLessThan(200);
  });

  it("that its page gives up is aborted: no failure of the browser", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    const opened = browser.open({ shards: 1 });
    opened.catch(() => undefined);
    await browser.pass(500);
    expect(rows(browser)).toEqual([{ operation: "load", status: "running", durationMs: null }]);
    await browser.pool.bridgeCalls(BRIDGE).abortOpen({ ingestId: browser.session?.openId ?? "" });
    await browser.pass(10);
    expect(rows(browser)).toEqual([{ operation: "load", status: "aborted", durationMs: null }]);
    expect(browser.history.tracker.getFailureRateByBrowserType("chrome")).toBeNull();
  });

  it("in which a host died has failed", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    const opened = browser.open({ shards: 1 });
    opened.catch(() => undefined);
    await browser.pass(500);
    browser.killFrame(0);
    await browser.pass(500);
    expect(rows(browser, "load").map(({ status }) => status)).toEqual(["failed"]);
  });
});

describe("runs", () => {
  it("are one entry a report, with the median as its duration and what tells the stage apart", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.reports().stageTimes({ ...lease(browser, 1), times: TIMES });
    expect(browser.history.tracker.getEntriesByOperation("inference")).toMatchObject([
      {
        status: "completed",
        durationMs: 12,
        browserId: browser.hostOf(1),
        metrics: { runs: 9, minMs: 10, maxMs: 30, stage: 1, shards: 2, weightBytes: 8, provider: 2 },
      },
    ]);
  });

  it("of a host that was replaced come too late", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.reports().stageTimes({ ...lease(browser, 0), attempt: 7, times: TIMES });
    expect(rows(browser, "inference")).toEqual([]);
  });
});

describe("a host that dies", () => {
  it("is a failure and a recovery, which ends when a run was answered", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.killFrame(1);
    expect(rows(browser, "inference")).toEqual([{ operation: "inference", status: "failed", durationMs: 0 }]);
    expect(rows(browser, "recovery")).toEqual([{ operation: "recovery", status: "running", durationMs: null }]);
    await browser.pass(1_000);
    verify(browser);
    expect(rows(browser, "recovery")).toEqual([{ operation: "recovery", status: "completed", durationMs: 1_000 }]);
    expect(browser.history.tracker.getAverageDurationByModel("model", "inference")).toBeNull();
  });

  it("again before that belongs to the same recovery", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.killFrame(0);
    await browser.pass(500);
    browser.killFrame(0);
    await browser.pass(1_500);
    verify(browser);
    expect(rows(browser, "recovery")).toEqual([{ operation: "recovery", status: "completed", durationMs: 2_000 }]);
    expect(rows(browser, "inference")).toHaveLength(2);
  });

  it("because the user closed its tab is no failure", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    await browser.closeTab(0);
    expect(rows(browser, "inference")).toEqual([]);
    expect(rows(browser, "recovery")).toHaveLength(1);
  });

  it("for good is a recovery that failed", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.deafFromAttempt = 1;
    browser.killFrame(0);
    await browser.pass(600_000);
    expect(rows(browser, "recovery").map(({ status }) => status)).toEqual(["failed"]);
  });

  it("in a session that is released meanwhile is a recovery that was aborted", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(1);
    browser.killFrame(0);
    await browser.pool.bridgeCalls(BRIDGE).releaseSession({ bridgeId: "bridge-1", sessionId });
    expect(rows(browser, "recovery").map(({ status }) => status)).toEqual(["aborted"]);
  });
});

describe("a service worker that dies", () => {
  it("loses the last batch of history at most, and what was under way then is aborted", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.reports().stageTimes({ ...lease(browser, 0), times: TIMES });
    browser.killFrame(0);
    await browser.pass(HISTORY_WRITE_MS);
    browser.reports().stageTimes({ ...lease(browser, 0), times: TIMES });
    await browser.restartWorker();
    expect(rows(browser).map(({ operation, status }) => `${operation} ${status}`)).toEqual([
      "load completed",
      "inference completed",
      "inference failed",
      "recovery aborted",
    ]);
    expect(browser.history.reports.own("wasm")).toMatchObject({ provider: "wasm", capability: CAPABILITY });
  });
});

describe("the capability report of a host", () => {
  it("shows in the status of each host of its provider", async () => {
    const browser = new FakeBrowser();
    browser.speed = { flopsPerMs: 5, bytesPerMs: 6 };
    await browser.live(2);
    const status = await browser.pool.popupCalls().status(null);
    expect(status.hosts.map(({ report }) => report?.capability)).toEqual([CAPABILITY, CAPABILITY]);
    expect(status.hosts[0]?.report?.speed).toMatchObject({ flopsPerMs: 5, bytesPerMs: 6 });
    expect(status.history).toEqual({ totalEntries: 1, successfulEntries: 1, successRate: 1, operationTypes: ["load"] });
  });

  it("is made with a measurement once a day, by the first host of a session, and never in a recovery", async () => {
    const browser = new FakeBrowser();
    browser.speed = { flopsPerMs: 5, bytesPerMs: 6 };
    await browser.live(2);
    const all = ["webgpu", "webnn", "wasm"];
    expect(browser.measureAsked).toEqual([all, []]);
    browser.killFrame(0);
    await browser.pass(1_000);
    expect(browser.measureAsked.slice(2)).toEqual([[]]);
    await browser.live(1);
    expect(browser.measureAsked.slice(3)).toEqual([["webgpu", "webnn"]]);
    browser.now += SPEED_KEPT_MS;
    await browser.live(1);
    expect(browser.measureAsked.slice(4)).toEqual([all]);
  });
});

describe("what a model is cut by", () => {
  it("is nothing yet in a browser that never ran one", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const none = { browserType: "chrome", samples: 0, avgDurationMs: null, successRate: 0 };
    expect(browser.planning).toEqual({ hosts: [], evidence: [none], families: [], stages: [] });
  });

  it("is a profile a host, the browser's history with the model, and the stages' times", async () => {
    const browser = new FakeBrowser();
    browser.speed = { flopsPerMs: 5, bytesPerMs: 6 };
    await browser.live(2);
    browser.reports().stageTimes({ ...lease(browser, 1), times: TIMES });
    await browser.live(3);
    expect(browser.planning?.hosts).toHaveLength(3);
    expect(browser.planning?.hosts[2]).toMatchObject({ browserType: "chrome", provider: "wasm", flopsPerMs: 5 });
    expect(browser.planning?.evidence).toEqual([
      { browserType: "chrome", samples: 1, avgDurationMs: 12, successRate: 1 },
    ]);
    expect(browser.planning?.stages).toEqual([
      { shards: 2, stage: 1, weightBytes: 8, browserType: "chrome", provider: "wasm", ms: 12, samples: 1 },
    ]);
  });

  it("is no profile of a provider that the caller does not list", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.live(1, { executionProviders: ["webgpu"] });
    expect(browser.planning?.hosts).toEqual([]);
  });
});

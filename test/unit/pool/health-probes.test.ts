import { describe, expect, it } from "vitest";
import { BROWSER_CHECKPOINT_MS, HEALTH_CHECK_MS } from "../../../src/base/limits.ts";
import { FakeBrowser } from "./fake-browser.ts";

const checkpoints = (browser: FakeBrowser, stage: number) =>
  browser.state.hosts[browser.hostOf(stage)]?.checkpoints ?? [];

describe("a host without work", () => {
  it("does a probe run each browserHealthCheckIntervalMs, and wakes nobody for it", async () => {
    const browser = new FakeBrowser();
    await browser.live(2, { browserHealthCheckIntervalMs: 10_000 });
    const alarms = browser.alarms.length;
    await browser.pass(HEALTH_CHECK_MS);
    browser.probed.length = 0;
    await browser.pass(30_000);
    expect(browser.probed.filter((hostId) => hostId === browser.hostOf(0))).toHaveLength(3);
    expect(browser.probed.filter((hostId) => hostId === browser.hostOf(1))).toHaveLength(3);
    expect(browser.alarms.length).toBe(alarms);
  });
  it("is left alone while it is heard of, and while it loads", async () => {
    const browser = new FakeBrowser();
    await browser.live(1, { browserHealthCheckIntervalMs: 10_000 });
    const { hostId = "", attempt = 0 } = browser.session?.stages[0] ?? {};
    for (let at = 0; at < 12; at++) {
      await browser.pass(5_000);
      browser.reports().resources({ hostId, attempt, resources: { tensorBytes: at, heapBytes: null } });
    }
    expect(browser.probed).toEqual([]);
    browser.deafToLoads = true;
    browser.killFrame(0);
    await browser.pass(20_000);
    expect(browser.probed).toEqual([]);
  });
  it("that gives other outputs than before is replaced", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.pass(2 * HEALTH_CHECK_MS);
    const [hostId = ""] = browser.probed;
    const { attempt = 0 } = browser.session?.stages[0] ?? {};
    browser.reports().fault({ hostId, attempt, signal: "a probe run did not give what it gave before" });
    await browser.pass(1_000);
    expect([browser.hostOf(0) === hostId, browser.session?.stages[0]?.phase]).toEqual([false, "ready"]);
  });
  it("has its state as a browser taken down each checkpointIntervalMs", async () => {
    const browser = new FakeBrowser();
    await browser.live(1, { checkpointIntervalMs: 45_000 });
    await browser.pass(HEALTH_CHECK_MS);
    const before = checkpoints(browser, 0).length;
    await browser.pass(2 * BROWSER_CHECKPOINT_MS);
    expect(checkpoints(browser, 0).length - before).toBe(2);
    expect(checkpoints(browser, 0).at(-1)).toMatchObject({ status: "running" });
  });
});

it("nobody is probed when no session lives", async () => {
  const browser = new FakeBrowser();
  const { sessionId } = await browser.live(1);
  await browser.calls().releaseSession({ bridgeId: "bridge-1", sessionId });
  await browser.pass(5 * HEALTH_CHECK_MS);
  expect(browser.probed).toEqual([]);
});

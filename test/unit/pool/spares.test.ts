import { describe, expect, it } from "vitest";
import {
  HOST_BOOT_DEADLINE_MS,
  SPARE_AGAIN_MS,
  SPARE_DELAY_MS,
  SPARE_IDLE_MS,
  USER_CLOSE_WINDOW_MS,
} from "../../../src/base/limits.ts";
import type { Provider } from "../../../src/protocol/options.ts";
import { FakeBrowser } from "./fake-browser.ts";

const OPENED_MS = SPARE_DELAY_MS + 1_000;
const spares = (browser: FakeBrowser) => Object.values(browser.state.spares ?? {});
const ready = (browser: FakeBrowser) => spares(browser).filter(({ phase }) => phase === "ready");
const phases = (browser: FakeBrowser) => browser.session?.stages.map(({ phase, attempt }) => `${attempt} ${phase}`);
const tabOf = (browser: FakeBrowser, hostId: string) =>
  [...browser.tabs].find(([, tab]) => tab.hostId === hostId)?.[0] ?? -1;

/** A session in two stages whose spare is ready. */
async function withSpare(
  options: object = {},
  provider: Provider = "wasm",
): Promise<{ browser: FakeBrowser; spareId: string }> {
  const browser = new FakeBrowser();
  browser.provider = provider;
  await browser.live(2, options);
  await browser.pass(OPENED_MS);
  const [spare] = ready(browser);
  if (spare === undefined) throw new Error("no spare was opened");
  return { browser, spareId: spare.hostId };
}

describe("a spare", () => {
  it("starts after a session above level none has opened, one for its provider, and goes with it", async () => {
    const { browser } = await withSpare();
    expect(spares(browser)).toMatchObject([{ provider: "wasm", phase: "ready" }]);
    expect(browser.liveTabs).toHaveLength(3);
    await browser.live(2);
    await browser.pass(OPENED_MS);
    expect(spares(browser)).toHaveLength(1);
    for (const { sessionId, bridgeId } of Object.values(browser.state.sessions))
      await browser.calls(bridgeId).releaseSession({ bridgeId, sessionId });
    await browser.pass(100);
    expect([spares(browser), browser.tabs.size]).toEqual([[], 0]);
  });
  it("is not kept for sessions at level none", async () => {
    const browser = new FakeBrowser();
    await browser.live(2, { faultToleranceLevel: "none" });
    await browser.pass(OPENED_MS);
    expect([spares(browser), browser.tabs.size]).toEqual([[], 2]);
  });
  it("takes over from a host that died, whose tab becomes the next spare", async () => {
    const { browser, spareId } = await withSpare();
    const dead = browser.hostOf(1);
    browser.killFrame(1);
    await browser.pass(100);
    expect([browser.hostOf(1), phases(browser)]).toEqual([spareId, ["0 ready", "1 ready"]]);
    expect(browser.state.hosts[spareId]).toMatchObject({ origin: browser.session?.origin, stage: 1 });
    // It waits: whoever recovers has the processor first.
    expect(spares(browser)).toMatchObject([{ hostId: dead, phase: "waiting" }]);
    await browser.pass(OPENED_MS);
    expect(spares(browser)).toMatchObject([{ hostId: dead, phase: "ready" }]);
    expect([Object.keys(browser.state.hosts).length, browser.tabs.size]).toEqual([2, 3]);
  });
  it("is taken with an attempt that neither the stage nor the host ever had", async () => {
    const { browser } = await withSpare();
    for (let kill = 1; kill <= 4; kill++) {
      const stage = kill % 2;
      const host = browser.hostOf(stage);
      const before = browser.session?.stages[stage]?.attempt ?? 0;
      const booted = ready(browser)[0]?.attempt ?? 0;
      browser.killFrame(stage);
      await browser.pass(OPENED_MS);
      browser.pool.driverReports("bridge-1").verified({ sessionId: browser.session?.sessionId ?? "" });
      expect(browser.hostOf(stage)).not.toBe(host);
      expect(browser.session?.stages[stage]?.attempt).toBe(Math.max(before, booted) + 1);
    }
  });
  it("takes over where the tab was closed, and counts for nothing when its own is", async () => {
    const { browser, spareId } = await withSpare();
    await browser.closeTab(0);
    await browser.pass(100);
    expect([browser.hostOf(0), browser.session?.status]).toEqual([spareId, "live"]);
    await browser.pass(OPENED_MS);
    const next = spares(browser)[0]?.hostId ?? "";
    const tabId = tabOf(browser, next);
    browser.tabs.delete(tabId);
    browser.pool.pages.tabRemoved(tabId);
    await browser.pass(OPENED_MS);
    // The user does not want it: it comes back only after a while, and the session is not paused.
    expect([spares(browser), browser.session?.status]).toEqual([[], "live"]);
    expect(USER_CLOSE_WINDOW_MS).toBeGreaterThan(OPENED_MS);
    await browser.pass(SPARE_AGAIN_MS);
    expect(ready(browser)).toHaveLength(1);
  });
  it("that died itself is replaced, and a stage that wants it meanwhile starts where it was", async () => {
    const { browser, spareId } = await withSpare();
    browser.reports().fault({ hostId: spareId, attempt: 0, signal: "frame process gone" });
    const host = browser.hostOf(1);
    browser.killFrame(1);
    await browser.pass(1_000);
    expect([browser.hostOf(1), phases(browser)]).toEqual([host, ["0 ready", "1 ready"]]);
    expect(browser.tabs.size).toBe(2);
  });
  it("whose death nobody had heard of when it was taken costs one more step, not the session", async () => {
    const { browser, spareId } = await withSpare();
    browser.killFrame(1);
    await browser.pass(1);
    browser.reports().fault({ hostId: spareId, attempt: 1, signal: "frame process gone" });
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["0 ready", "2 ready"]);
  });
  it("that never starts is given up, and none is tried for a while", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.deafFromAttempt = 0;
    await browser.pass(HOST_BOOT_DEADLINE_MS + OPENED_MS);
    expect([spares(browser), browser.tabs.size]).toEqual([[], 1]);
    browser.deafFromAttempt = Number.POSITIVE_INFINITY;
    await browser.pass(SPARE_AGAIN_MS + OPENED_MS);
    expect(ready(browser)).toHaveLength(1);
  });
  it("is not taken after the death of the process of all host pages, of which it was one", async () => {
    const { browser, spareId } = await withSpare();
    for (const tab of browser.tabs.values()) tab.alive = false;
    await Promise.all([...browser.tabs.values()].map(({ hostId }) => browser.pool.pages.disconnected(hostId)));
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["1 ready", "1 ready"]);
    expect(browser.hostOf(0)).not.toBe(spareId);
    expect(browser.hostOf(1)).not.toBe(spareId);
  });
  it("is not taken where a GPU was lost: the next one must be looked for", async () => {
    const { browser } = await withSpare({}, "webgpu");
    const { hostId, attempt } = browser.session?.stages[1] ?? { hostId: "", attempt: 0 };
    browser.reports().fault({ hostId, attempt, signal: "GPU device lost: unknown" });
    await browser.pass(500);
    expect([browser.hostOf(1), phases(browser)]).toEqual([hostId, ["0 ready", "1 ready"]]);
  });
  it("is closed after long idleness, and comes back with work", async () => {
    const { browser } = await withSpare();
    await browser.pass(SPARE_IDLE_MS);
    await browser.pool.inspect();
    await browser.pass(OPENED_MS);
    expect([spares(browser), browser.tabs.size]).toEqual([[], 2]);
    const { hostId, attempt } = browser.session?.stages[0] ?? { hostId: "", attempt: 0 };
    browser.reports().resources({ hostId, attempt, resources: { tensorBytes: 8, heapBytes: null } });
    browser.reports().stageTimes({ hostId, attempt, times: { runs: 1, medianMs: 1, minMs: 1, maxMs: 1 } });
    await browser.pass(OPENED_MS);
    expect(ready(browser)).toHaveLength(1);
  });
});

describe("a spare, when the service worker starts anew", () => {
  it("is kept, and taken", async () => {
    const { browser, spareId } = await withSpare();
    await browser.restartWorker();
    await browser.pass(1_000);
    expect(ready(browser)).toMatchObject([{ hostId: spareId }]);
    browser.killFrame(0);
    await browser.pass(1_000);
    expect([browser.hostOf(0), phases(browser)]).toEqual([spareId, ["1 ready", "0 ready"]]);
  });
  it("is closed where nobody knows how far it came, and another one is opened", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    browser.deafFromAttempt = 0;
    await browser.pass(SPARE_DELAY_MS + 20);
    expect(spares(browser)).toMatchObject([{ phase: "starting" }]);
    browser.deafFromAttempt = Number.POSITIVE_INFINITY;
    await browser.restartWorker();
    await browser.pass(OPENED_MS);
    expect([ready(browser).length, browser.tabs.size]).toEqual([1, 2]);
  });
  it("is closed with everything else after a new start of the browser", async () => {
    const { browser } = await withSpare();
    await browser.restartBrowser();
    await browser.pass(OPENED_MS);
    expect([spares(browser), browser.tabs.size]).toEqual([[], 0]);
  });
});

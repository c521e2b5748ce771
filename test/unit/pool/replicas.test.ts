import { describe, expect, it } from "vitest";
import { BRIDGE, FakeBrowser } from "./fake-browser.ts";

const UP_MS = 20_000;

async function critical(shards = 2, options: object = {}): Promise<FakeBrowser> {
  const browser = new FakeBrowser();
  await browser.live(shards, { faultToleranceLevel: "critical", ...options });
  return browser;
}

const outvoted = (browser: FakeBrowser, row: number, run: number): void => {
  const { sessionId = "", stages = [] } = browser.session ?? {};
  const { hostId = "", attempt = 0 } = stages[row] ?? {};
  browser.pool.driverReports(BRIDGE).outvoted({ sessionId, host: { hostId, attempt }, run });
};

describe("a session at level critical", () => {
  it.each([3, 5])("has %i hosts of each stage, each in a tab of its own, and none after its end", async (replicas) => {
    const browser = await critical(2, { replicas });
    const info = await browser.calls().attachSession({
      ...{ bridgeId: BRIDGE, origin: "https://site.example", framedBy: null },
      ...{ sessionId: browser.session?.sessionId ?? "", secret: browser.session?.secret ?? "" },
    });
    const rows = Array.from({ length: 2 * replicas }, (_, row) => row);
    expect(info.stages.map(({ stage, replicaOf = stage }) => replicaOf)).toEqual(rows.map((row) => row % 2));
    expect(info.stages.every(({ phase, nodes }) => phase === "ready" && nodes === 1)).toBe(true);
    expect(browser.hostTabs).toBe(2 * replicas);
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId: info.sessionId });
    await browser.pass(100);
    expect(browser.tabs.size).toBe(0);
  });

  it("replaces a host that was outvoted by another one, in another tab, and says why", async () => {
    const browser = await critical();
    const before = browser.session?.stages.map(({ hostId }) => hostId) ?? [];
    outvoted(browser, 3, 17);
    await browser.pass(UP_MS);
    const after = browser.session?.stages.map(({ hostId }) => hostId) ?? [];
    expect(after.map((hostId, row) => hostId === before[row])).toEqual([true, true, true, false, true, true]);
    expect([...browser.tabs.values()].map(({ hostId }) => hostId)).not.toContain(before[3]);
    expect(browser.session?.stages[3]?.phase).toBe("ready");
    expect(browser.state.faults).toMatchObject([{ stage: 3, signal: expect.stringMatching(/outvoted.*run 17/) }]);
    // What was said of it before is past.
    browser.pool.driverReports(BRIDGE).outvoted({
      ...{ sessionId: browser.session?.sessionId ?? "", run: 18 },
      host: { hostId: before[3] ?? "", attempt: 0 },
    });
    expect(browser.state.faults).toHaveLength(1);
  });

  it("believes only the bridge that owns the session", async () => {
    const browser = await critical();
    const { sessionId = "", stages = [] } = browser.session ?? {};
    const { hostId = "", attempt = 0 } = stages[0] ?? {};
    browser.pool.driverReports("another bridge").outvoted({ sessionId, host: { hostId, attempt }, run: 1 });
    expect(browser.state.faults).toEqual([]);
  });

  it("is refused, with the number it needs, where there cannot be so many replicas", async () => {
    const refused = new FakeBrowser().open({ shards: 5, faultToleranceLevel: "critical" });
    await expect(refused).rejects.toThrow(/needs 10 more replicas and 0 of 8 are in use.*fewer shards or use level/);
    await expect(refused).rejects.toMatchObject({ code: "TOO_MANY_HOSTS" });
  });

  it("comes back with all its replicas after it was parked", async () => {
    const browser = await critical();
    const { sessionId = "", secret = "" } = browser.session ?? {};
    await browser.calls().parkSession({ bridgeId: BRIDGE, sessionId });
    await browser.pass(100);
    expect(browser.hostTabs).toBe(0);
    const again = browser.calls().attachSession({
      ...{ bridgeId: BRIDGE, origin: "https://site.example", framedBy: null, sessionId, secret },
    });
    await browser.pass(UP_MS);
    expect((await again).stages.map(({ phase }) => phase)).toEqual(Array.from({ length: 6 }, () => "ready"));
  });
});

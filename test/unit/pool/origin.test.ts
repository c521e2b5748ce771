import { describe, expect, it } from "vitest";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const OTHER = { bridgeId: "bridge-2", origin: "https://other.example", framedBy: null };
const OWN = { bridgeId: BRIDGE, origin: ORIGIN, framedBy: null };
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "answered",
    (error: { code: string }) => error.code,
  );

describe("what a site is told of the pool", () => {
  it("is its own hosts, sessions, faults and what its hosts did", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(2);
    browser.killFrame(1);
    const status = await browser.calls().originStatus({ ...OWN, known: {} });
    expect(status.browserType).toBe("chrome");
    expect(status.sessions.map((session) => session.sessionId)).toEqual([sessionId]);
    expect(status.browsers.map(({ browserId, stage }) => [browserId, stage.stage])).toEqual([
      [browser.hostOf(0), 0],
      [browser.hostOf(1), 1],
    ]);
    expect(status.faults).toMatchObject([{ sessionId, stage: 1, category: "CRASH" }]);
    expect(status.operations.map(({ operation }) => operation)).toContain("load");
  });

  it("says nothing of other sites", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.killFrame(1);
    const { browserType: _, ...status } = await browser.calls("bridge-2").originStatus({ ...OTHER, known: {} });
    expect(status).toEqual({ browsers: [], sessions: [], faults: [], operations: [], circuitBreakers: [] });
  });

  it("is told under no other page's name", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    expect(await code(browser.calls("bridge-2").originStatus({ ...OWN, known: {} }))).toBe("PERMISSION_DENIED");
    const failing = { ...OWN, hostId: browser.hostOf(0), signal: "x" };
    expect(await code(browser.calls("bridge-2").failHost(failing))).toBe("PERMISSION_DENIED");
  });
});

describe("a host that its page reports", () => {
  it("is recovered as after any other fault", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(2);
    const hostId = browser.hostOf(1);
    const failed = await browser.calls().failHost({ ...OWN, hostId, signal: "Browser crashed" });
    expect(failed).toEqual({ sessionId, stage: 1, attempt: 0 });
    expect(browser.session?.stages[1]?.phase).toBe("lost");
    expect(browser.state.faults[0]?.signal).toBe("the page says: Browser crashed");
    await browser.pass(1_000);
    expect(browser.session?.stages[1]).toMatchObject({ phase: "ready", attempt: 1 });
    expect(browser.session?.stages[0]).toMatchObject({ phase: "ready", attempt: 0 });
  });

  it("is left alone while it is on its way back", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    const report = { ...OWN, hostId: browser.hostOf(0), signal: "x" };
    await browser.calls().failHost(report);
    expect(await browser.calls().failHost(report)).toMatchObject({ attempt: 0 });
    expect(browser.state.faults).toHaveLength(1);
  });

  it("counts as no failure of its browser: all sites' plans rest on that history", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.calls().failHost({ ...OWN, hostId: browser.hostOf(0), signal: "x" });
    expect(browser.history.tracker.getEntriesByOperation("inference")).toEqual([]);
  });

  it.each(["host tab closed", "host tab"])("pauses nothing, whatever the page says (%s)", async (signal) => {
    const browser = new FakeBrowser();
    await browser.live(2);
    for (const stage of [0, 1]) await browser.calls().failHost({ ...OWN, hostId: browser.hostOf(stage), signal });
    await browser.pass(1_000);
    expect(browser.session?.status).toBe("live");
  });

  it("must be its own", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    const foreign = browser.calls("bridge-2").failHost({ ...OTHER, hostId: browser.hostOf(0), signal: "x" });
    expect(await code(foreign)).toBe("BAD_OPTIONS");
    expect(browser.session?.stages[0]?.phase).toBe("ready");
    for (const hostId of ["nobody", "constructor"])
      expect(await code(browser.calls().failHost({ ...OWN, hostId, signal: "x" }))).toBe("BAD_OPTIONS");
  });
});

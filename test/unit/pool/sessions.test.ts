import { describe, expect, it } from "vitest";
import {
  HOST_BOOT_DEADLINE_MS,
  HOSTS_MAX,
  OPEN_STALL_MS,
  PAGE_GRACE_MS,
  PARKED_BYTES_PER_ORIGIN_MAX,
  PARKED_KEPT_MS,
  PARKED_PER_ORIGIN_MAX,
  SESSIONS_PER_ORIGIN_MAX,
} from "../../../src/base/limits.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: { code?: string }) => error.code ?? String(error),
  );

describe("opening", () => {
  it("resolves when every stage is ready, each in a tab of its own", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(3);
    expect(info.stages.map(({ phase }) => phase)).toEqual(["ready", "ready", "ready"]);
    expect(new Set(info.stages.map(({ hostId }) => hostId)).size).toBe(3);
    expect(browser.liveTabs).toHaveLength(3);
    expect(browser.session?.status).toBe("live");
    expect(browser.ingestAt).toEqual([info.stages[0]?.hostId]);
    expect(browser.popupAllowed).toBe(false);
  });
  it("asks the user once", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.live(1);
    expect(browser.asked).toEqual([ORIGIN]);
  });
  it.each([false, null])("is refused when the user answers %s, and opens nothing", async (answer) => {
    const browser = new FakeBrowser();
    browser.consent = answer;
    expect(await code(browser.open())).toBe("PERMISSION_DENIED");
    expect(await code(browser.open())).toBe("PERMISSION_DENIED");
    expect([browser.asked.length, browser.tabs.size, browser.session]).toEqual([1, 0, undefined]);
    expect(browser.state.refusals.length).toBeGreaterThan(0);
  });
  it("logs a refusal that is repeated a thousand times only some times", async () => {
    const browser = new FakeBrowser();
    browser.consent = false;
    for (let time = 0; time < 1_000; time++) await code(browser.open());
    expect(browser.state.refusals.length).toBeLessThan(20);
  });
  it("that is aborted closes what it opened, at whatever moment", async () => {
    for (let ms = 0; ms < 60; ms += 3) {
      const browser = new FakeBrowser();
      const opened = code(browser.open({ shards: 4 }));
      await browser.pass(ms);
      await browser.calls().abortOpen({ ingestId: "ingest-1" });
      await browser.pass(200);
      expect(["ABORTED", "resolved"]).toContain(await opened);
      if ((await opened) === "ABORTED")
        expect([browser.tabs.size, browser.session], `after ${ms} ms`).toEqual([0, undefined]);
    }
  });
  it("that is aborted while the user is still asked opens nothing, even if they allow it", async () => {
    const browser = new FakeBrowser();
    browser.thinksMs = 60_000;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(1_000);
    await browser.calls().abortOpen({ ingestId: "ingest-1" });
    await browser.pass(100_000);
    expect([await opened, browser.session, browser.tabs.size]).toEqual(["ABORTED", undefined, 0]);
    // The answer holds for the next one.
    expect((await browser.live(1)).stages).toHaveLength(1);
    expect(browser.asked).toHaveLength(1);
  });
  it("whose page goes while the user is still asked opens nothing", async () => {
    const browser = new FakeBrowser();
    browser.thinksMs = 60_000;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(1_000);
    await browser.pool.sessions.bridgeLost(BRIDGE);
    await browser.pass(100_000);
    expect([await opened, browser.session, browser.tabs.size]).toEqual(["ABORTED", undefined, 0]);
  });
  it("ends when its page goes", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(100);
    await browser.pool.sessions.bridgeLost(BRIDGE);
    await browser.pass(100);
    expect([await opened, browser.tabs.size, browser.session]).toEqual(["ABORTED", 0, undefined]);
  });
  it("ends when the page sends no more of its model", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(OPEN_STALL_MS - 1_000);
    const { hostId, attempt } = browser.session?.stages[0] ?? { hostId: "", attempt: 0 };
    const sessionId = browser.session?.sessionId ?? "";
    browser.reports().progress({
      hostId,
      attempt,
      sessionId,
      phase: "download",
      loadedBytes: 1,
      totalBytes: null,
      bytesPerSecond: null,
    });
    await browser.pass(OPEN_STALL_MS - 1_000);
    expect(browser.session?.status).toBe("opening");
    await browser.pass(2_000);
    expect([await opened, browser.tabs.size]).toEqual(["MODEL_FETCH_STALLED", 0]);
  });
  it("ends when a host cannot be brought up, again and again", async () => {
    const browser = new FakeBrowser();
    browser.deafFromAttempt = 0;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(10 * HOST_BOOT_DEADLINE_MS);
    expect(["RECOVERY_FAILED", "HOST_LOST"]).toContain(await opened);
    expect([browser.tabs.size, browser.session]).toEqual([0, undefined]);
  });
  it("ends when the browser opens no tabs", async () => {
    const browser = new FakeBrowser();
    browser.refuseTabs = true;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(60_000);
    expect(await opened).not.toBe("resolved");
    expect(browser.state.hosts).toEqual({});
  });
  it("tells the page to send again when the host that took the model died", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    const opened = code(browser.open({ shards: 2 }));
    await browser.pass(100);
    await browser.killPage(0);
    await browser.pass(1_000);
    expect([await opened, browser.tabs.size]).toEqual(["HOST_LOST", 0]);
  });
});

describe("bounds", () => {
  it("a site has so many sessions and no more", async () => {
    const browser = new FakeBrowser();
    for (let count = 0; count < SESSIONS_PER_ORIGIN_MAX; count++) await browser.live(1);
    expect(await code(browser.open())).toBe("LIMIT_REACHED");
  });
  it("there are so many hosts and no more, also when sessions open at once", async () => {
    const browser = new FakeBrowser();
    const opened = [7, 7, 5, 900].map((shards) => code(browser.open({ shards })));
    await browser.pass(2_000);
    expect(browser.tabs.size).toBeLessThanOrEqual(HOSTS_MAX);
    const ends = await Promise.all(opened);
    expect(ends.toSorted()).toEqual(["TOO_MANY_HOSTS", "TOO_MANY_HOSTS", "resolved", "resolved"]);
  });
  it("more shards than hosts cost one host, until the plan says no", async () => {
    const browser = new FakeBrowser();
    const opened = code(browser.open({ shards: HOSTS_MAX + 1 }));
    await browser.pass(15);
    expect(Object.keys(browser.state.hosts)).toHaveLength(1);
    await browser.pass(1_000);
    expect([await opened, browser.tabs.size]).toEqual(["TOO_MANY_HOSTS", 0]);
  });
  it.each([{ faultToleranceLevel: "none", place: "offscreen" }])(
    "%j is refused beside a session at risk",
    async (options) => {
      const browser = new FakeBrowser();
      await browser.live(1);
      expect(await code(browser.open(options))).toBe("PLACE_IN_USE");
    },
  );
});

describe("an end", () => {
  it("by release closes the hosts and deletes stored state", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(3);
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
    expect([browser.tabs.size, browser.session, browser.state.hosts]).toEqual([0, undefined, {}]);
    expect(browser.forgotten).toEqual([sessionId]);
    expect(browser.popupAllowed).toBe(true);
  });
  it("by release in the middle of a recovery leaves no host, whenever it comes", async () => {
    for (let ms = 0; ms < 60; ms += 3) {
      const browser = new FakeBrowser();
      const { sessionId } = await browser.live(2);
      await browser.closeTab(1);
      await browser.pass(ms);
      const released = browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
      await browser.pass(1_000);
      await released;
      expect([browser.tabs.size, browser.state.hosts], `after ${ms} ms`).toEqual([0, {}]);
    }
  });
  it("is not another page's to bring about", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(1);
    await browser.calls("bridge-2").releaseSession({ bridgeId: BRIDGE, sessionId });
    expect(browser.session?.status).toBe("live");
  });
  it("by the user's withdrawal tells the page why", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.pool.popupCalls().withdraw({ origin: ORIGIN });
    expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "PERMISSION_DENIED" } });
    expect([browser.tabs.size, browser.session]).toEqual([0, undefined]);
  });
});

describe("the owner", () => {
  it("that is lost has some seconds to come back", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    browser.bridges.clear();
    await browser.pool.sessions.bridgeLost(BRIDGE);
    await browser.pass(PAGE_GRACE_MS - 1_000);
    await browser.pool.sessions.owners.inspect();
    expect(browser.session?.status).toBe("live");
    browser.bridges.add("bridge-2");
    expect((await browser.attach(info, "bridge-2")).stages).toHaveLength(2);
    await browser.pass(10 * PAGE_GRACE_MS);
    await browser.pool.sessions.owners.inspect();
    expect(browser.session).toMatchObject({ status: "live", bridgeId: "bridge-2", ownerLostAt: null });
  });
  it("that stays away has its session parked, which is forgotten in the end", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    browser.bridges.clear();
    await browser.pool.sessions.bridgeLost(BRIDGE);
    await browser.pass(PAGE_GRACE_MS);
    await browser.pool.sessions.owners.inspect();
    expect([browser.session?.status, browser.tabs.size]).toEqual(["parked", 0]);
    await browser.pass(PARKED_KEPT_MS);
    await browser.pool.sessions.owners.inspect();
    expect([browser.session, browser.forgotten]).toEqual([undefined, [info.sessionId]]);
  });
  it("that lives keeps its session from others", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(1);
    browser.bridges.add("bridge-2");
    const taken = code(browser.attach(info, "bridge-2"));
    await browser.pass(2_000);
    expect(await taken).toBe("SESSION_IN_USE");
    expect(await code(browser.attach({ ...info, secret: "guessed" }))).toBe("SESSION_UNKNOWN");
    expect(await code(browser.attach(info, BRIDGE, "https://other.example"))).not.toBe("resolved");
    for (const sessionId of ["nothing", "__proto__", "constructor"])
      expect(await code(browser.attach({ ...info, sessionId }))).toBe("SESSION_UNKNOWN");
  });
  it("whose frame the browser still lists although its process died gives way to the next", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    browser.bridges.add("bridge-2");
    const taken = browser.attach(info, "bridge-2");
    await browser.pass(300);
    browser.bridges.delete(BRIDGE);
    await browser.pass(1_000);
    expect((await taken).stages).toHaveLength(2);
    expect(browser.session).toMatchObject({ status: "live", bridgeId: "bridge-2" });
  });
  it("is one, when two take a session up at once", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(1);
    for (const bridge of ["bridge-2", "bridge-3"]) browser.bridges.add(bridge);
    browser.bridges.delete(BRIDGE);
    const ends = ["bridge-2", "bridge-3"].map((bridge) => code(browser.attach(info, bridge)));
    await browser.pass(5_000);
    expect((await Promise.all(ends)).toSorted()).toEqual(["SESSION_IN_USE", "resolved"]);
  });
  it("is told by the port, whatever a call says", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(1);
    await browser.pass(5_000);
    const { sessionId, secret } = info;
    const caller = { bridgeId: BRIDGE, origin: ORIGIN, framedBy: null };
    const forged = browser.calls("bridge-2");
    expect(await code(forged.hello(caller))).toBe("PERMISSION_DENIED");
    expect(await code(forged.attachSession({ ...caller, sessionId, secret }))).toBe("PERMISSION_DENIED");
    const open = { ...caller, model: "model", options: info.options, ingestId: "forged" };
    expect(await code(forged.openSession(open))).toBe("PERMISSION_DENIED");
    const before = browser.state;
    const reports = browser.pool.driverReports("bridge-2");
    expect(await code(forged.durable({ bridgeId: BRIDGE, sessionId, run: 7 }))).toBe("SESSION_IN_USE");
    reports.verified({ sessionId });
    await browser.pass(1_000);
    expect(browser.state).toEqual(before);
    expect(before.refusals).toHaveLength(3);
  });
});

describe("sessions that are kept for a page that is gone", () => {
  /** Opens a session with so many stored bytes and lets its page go. */
  async function parked(browser: FakeBrowser, bytes: number, bridge: string): Promise<string> {
    browser.bridges.add(bridge);
    const opened = browser.open({ shards: 1 }, bridge);
    await browser.pass(1_000);
    const { sessionId } = await opened;
    browser.stored.set(sessionId, bytes);
    browser.bridges.delete(bridge);
    await browser.pool.sessions.bridgeLost(bridge);
    await browser.pass(PAGE_GRACE_MS);
    await browser.pool.sessions.owners.inspect();
    return sessionId;
  }
  const kept = (browser: FakeBrowser): string[] =>
    Object.values(browser.state.sessions)
      .filter(({ status }) => status === "parked")
      .map(({ sessionId }) => sessionId);

  it("are so many of one site; the oldest are forgotten, stored state and all", async () => {
    const browser = new FakeBrowser();
    const ids: string[] = [];
    for (let count = 0; count < PARKED_PER_ORIGIN_MAX + 3; count++)
      ids.push(await parked(browser, 10, `page-${count}`));
    expect(kept(browser)).toEqual(ids.slice(3));
    expect(browser.forgotten).toEqual(ids.slice(0, 3));
    expect(browser.tabs.size).toBe(0);
  });
  it("hold so many bytes and no more", async () => {
    const browser = new FakeBrowser();
    const ids: string[] = [];
    for (let count = 0; count < 4; count++)
      ids.push(await parked(browser, PARKED_BYTES_PER_ORIGIN_MAX * 0.4, `page-${count}`));
    expect(kept(browser)).toEqual(ids.slice(2));
    const tooLarge = await parked(browser, PARKED_BYTES_PER_ORIGIN_MAX + 1, "page-large");
    expect(kept(browser)).toEqual([]);
    expect(browser.forgotten).toEqual([...ids, tooLarge]);
  });
  it("take nothing from another site's, nor from a session that runs", async () => {
    const browser = new FakeBrowser();
    const running = await browser.live(1);
    browser.stored.set(running.sessionId, 2 * PARKED_BYTES_PER_ORIGIN_MAX);
    const other = "https://other.example";
    const records = Object.fromEntries(
      Array.from({ length: PARKED_PER_ORIGIN_MAX }, (_, at) => {
        const sessionId = `other-${at}`;
        return [
          sessionId,
          { ...browser.state.sessions[running.sessionId], sessionId, origin: other, status: "parked" },
        ];
      }),
    ) as FakeBrowser["state"]["sessions"];
    browser.state = { ...browser.state, sessions: { ...browser.state.sessions, ...records } };
    const own = await parked(browser, 10, "page-own");
    expect(kept(browser).toSorted()).toEqual([own, ...Object.keys(records)].toSorted());
    expect(browser.state.sessions[running.sessionId]?.status).toBe("live");
  });
});

import { describe, expect, it, vi } from "vitest";
import { HOSTS_PER_ORIGIN_MAX, PAGE_GRACE_MS, UPDATE_SETTLE_MS } from "../../../src/base/limits.ts";
import { onUpdate } from "../../../src/pool/settling.ts";
import type { SessionInfo } from "../../../src/protocol/pool.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: { code?: string }) => error.code ?? String(error),
  );

/** A session whose page is gone for good. */
async function parked(shards = 2): Promise<{ browser: FakeBrowser; info: SessionInfo }> {
  const browser = new FakeBrowser();
  const info = await browser.live(shards);
  await loseOwner(browser);
  expect(browser.session?.status).toBe("parked");
  return { browser, info };
}

async function loseOwner(browser: FakeBrowser): Promise<void> {
  browser.bridges.clear();
  await browser.pool.sessions.bridgeLost(BRIDGE);
  await browser.pass(PAGE_GRACE_MS + 1_000);
  await browser.pool.sessions.owners.inspect();
}

/** Whatever was under way: one host a stage, no tab besides, and a page gets the session. */
async function expectResumable(browser: FakeBrowser, sessionId: string, what: string): Promise<void> {
  browser.bridges.add("last");
  browser.bridges.delete("next");
  browser.bridges.delete(BRIDGE);
  const end = browser.resume(sessionId, "last");
  await browser.pass(5_000);
  expect(await code(end), what).toBe("resolved");
  const { stages } = await end;
  expect(
    stages.map(({ phase }) => phase),
    what,
  ).toEqual(stages.map(() => "ready"));
  expect(browser.session, what).toMatchObject({ status: "live", bridgeId: "last", ownerLostAt: null });
  // The spare is nobody's.
  const tabs = browser.liveTabs.map(({ hostId }) => hostId).filter((id) => browser.state.spares?.[id] === undefined);
  expect(tabs.toSorted(), what).toEqual(stages.map(({ hostId }) => hostId).toSorted());
  expect(Object.keys(browser.state.hosts).toSorted(), what).toEqual(stages.map(({ hostId }) => hostId).toSorted());
}

it("what is stored of a session that the journal does not know is deleted by the next start", async () => {
  const { browser, info } = await parked();
  browser.storedSessions.push("unknown", info.sessionId);
  await browser.restartWorker();
  await browser.pass(100);
  expect(browser.forgotten).toEqual(["unknown"]);
});

it("parks although the disk is full: its hosts are given back", async () => {
  const browser = new FakeBrowser();
  await browser.live(2);
  browser.diskFull = true;
  await loseOwner(browser);
  expect([browser.session?.status, browser.hostTabs]).toEqual(["parked", 0]);
});

describe("a session that is taken up", () => {
  it("gets hosts from its plan, with no model sent and nothing planned, and a new secret", async () => {
    const { browser, info } = await parked();
    browser.bridges.add("next");
    const resumed = browser.resume(info.sessionId, "next");
    await browser.pass(1_000);
    const { stages, plan, secret, durableRun } = await resumed;
    expect(stages.map(({ phase, attempt }) => ({ phase, attempt }))).toEqual([
      { phase: "ready", attempt: 1 },
      { phase: "ready", attempt: 1 },
    ]);
    expect([plan, durableRun]).toEqual([info.plan, -1]);
    expect(browser.ingestAt).toHaveLength(1);
    // The page before it, should it come out of the browser's cache, has lost its right.
    expect(secret).not.toBe(info.secret);
    browser.bridges.delete("next");
    expect(await code(browser.attach(info))).toBe("SESSION_UNKNOWN");
  });
  it("within its page's grace keeps its hosts", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    browser.bridges.clear();
    browser.bridges.add("next");
    const { stages } = await browser.resume(info.sessionId, "next");
    expect(stages).toEqual(info.stages);
  });
  it("is its origin's only, and another's is like none", async () => {
    const { browser, info } = await parked();
    browser.bridges.add("next");
    const other = browser
      .resume(info.sessionId, "next", "https://other.example")
      .catch((error: Error) => error.message);
    const none = browser.resume("nothing", "next").catch((error: Error) => error.message);
    expect(await other).toBe(await none);
    const list = (origin: string) => browser.calls("next").listSessions({ bridgeId: "next", origin, framedBy: null });
    expect(await list("https://other.example")).toEqual([]);
    expect(await list(ORIGIN)).toMatchObject([{ id: info.sessionId, status: "parked", durableRun: -1, tokens: 0 }]);
  });
  it("is one page's, when two ask at once", async () => {
    const { browser, info } = await parked();
    for (const bridge of ["next", "other"]) browser.bridges.add(bridge);
    const ends = [code(browser.resume(info.sessionId, "next")), code(browser.resume(info.sessionId, "other"))];
    await browser.pass(5_000);
    expect((await Promise.all(ends)).toSorted()).toEqual(["SESSION_IN_USE", "resolved"]);
  });
  it.each([
    ["whose model was deleted", "MODEL_DELETED", { modelDeleted: true }],
    ["whose hosts do not start", "RECOVERY_FAILED", { deafFromAttempt: 0 }],
  ])("%s stays parked, stored state and all", async (_, error, spoil) => {
    const { browser, info } = await parked();
    Object.assign(browser, spoil);
    browser.bridges.add("next");
    const end = code(browser.resume(info.sessionId, "next"));
    await browser.pass(600_000);
    expect([await end, browser.session?.status, browser.tabs.size]).toEqual([error, "parked", 0]);
    expect(browser.forgotten).toEqual([]);
    browser.modelDeleted = false;
    browser.deafFromAttempt = Number.POSITIVE_INFINITY;
    await expectResumable(browser, info.sessionId, error);
  });
  it("waits for room that others use", async () => {
    const { browser, info } = await parked();
    browser.bridges.add(BRIDGE);
    const other = await browser.live(HOSTS_PER_ORIGIN_MAX);
    browser.bridges.add("next");
    expect(await code(browser.resume(info.sessionId, "next"))).toBe("TOO_MANY_HOSTS");
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId: other.sessionId });
    await expectResumable(browser, info.sessionId, "with room");
  });
  it("by a page that goes while its hosts start is parked again", async () => {
    const { browser, info } = await parked();
    browser.bridges.add("next");
    const end = code(browser.resume(info.sessionId, "next"));
    await browser.pass(8);
    await browser.pool.sessions.bridgeLost("next");
    await browser.pass(1_000);
    expect([await end, browser.session?.status, browser.tabs.size]).toEqual(["ABORTED", "parked", 0]);
  });
});

describe("an idle session", () => {
  it("gives its hosts back, stays its page's, and gets others when that asks", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    await browser.calls().parkSession({ bridgeId: BRIDGE, sessionId: info.sessionId });
    expect([browser.session?.status, browser.tabs.size, browser.popupAllowed]).toEqual(["parked", 0, true]);
    browser.bridges.add("next");
    const taken = code(browser.resume(info.sessionId, "next"));
    await browser.pass(2_000);
    expect(await taken).toBe("SESSION_IN_USE");
    const attached = browser.attach(info);
    await browser.pass(1_000);
    expect((await attached).stages.map(({ phase }) => phase)).toEqual(["ready", "ready"]);
    expect([browser.session?.status, browser.popupAllowed]).toEqual(["live", false]);
  });
  it("is not parked by a page that does not own it", async () => {
    const browser = new FakeBrowser();
    const { sessionId } = await browser.live(1);
    await browser.calls("other").parkSession({ bridgeId: "other", sessionId });
    expect(browser.session?.status).toBe("live");
  });
});

describe("a service worker that dies after any write leaves a legal state, and a session that can be taken up", () => {
  const cases: [string, () => Promise<{ browser: FakeBrowser; info: SessionInfo }>, Act][] = [
    [
      "a resume",
      () => parked(3),
      (browser, { sessionId }) => {
        browser.bridges.add("next");
        return browser.resume(sessionId, "next");
      },
    ],
    [
      "a park",
      async () => {
        const browser = new FakeBrowser();
        return { browser, info: await browser.live(3) };
      },
      (browser, { sessionId }) => browser.calls().parkSession({ bridgeId: BRIDGE, sessionId }),
    ],
    [
      "an idle session that is woken",
      async () => {
        const browser = new FakeBrowser();
        const info = await browser.live(3);
        await browser.calls().parkSession({ bridgeId: BRIDGE, sessionId: info.sessionId });
        return { browser, info };
      },
      (browser, info) => browser.attach(info),
    ],
  ];
  type Act = (browser: FakeBrowser, info: SessionInfo) => Promise<unknown>;

  it.each(cases)("%s", async (what, prepare, act) => {
    let points = 0;
    for (let writes = 1; ; writes++) {
      const { browser, info } = await prepare();
      browser.writesLeft = writes;
      void act(browser, info).catch(() => undefined);
      await browser.pass(2_000);
      if (!browser.isWorkerDead) break;
      points++;
      await browser.restartWorker();
      await browser.pass(1_000);
      await expectResumable(browser, info.sessionId, `${what}, dead after write ${writes}`);
    }
    expect(points).toBeGreaterThan(2);
  });
});

describe("state that is stored of a session", () => {
  it("which nobody knows any more is taken away when the pool starts, and no other", async () => {
    const { browser, info } = await parked();
    browser.storedSessions.push("gone", info.sessionId);
    await browser.restartWorker();
    await browser.pass(100);
    expect(browser.forgotten).toEqual(["gone"]);
    await expectResumable(browser, info.sessionId, "the known one");
  });
});

describe("before an update", () => {
  it("every live session gets a durable point; only then is the extension replaced", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(1);
    const reload = vi.fn();
    void onUpdate(browser.pool, reload);
    await browser.pass(10);
    expect([browser.settled, reload.mock.calls.length]).toEqual([[info.sessionId], 0]);
    browser.pool.driverReports(BRIDGE).settled({ sessionId: info.sessionId });
    await browser.pass(10);
    expect(reload).toHaveBeenCalledOnce();
  });
  it("a page that does not answer is not waited for without end", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    const reload = vi.fn();
    void onUpdate(browser.pool, reload);
    await browser.pass(UPDATE_SETTLE_MS - 10);
    expect(reload).not.toHaveBeenCalled();
    await browser.pass(20);
    expect(reload).toHaveBeenCalledOnce();
  });
});

import { describe, expect, it } from "vitest";
import {
  HANG_FLOOR_MS,
  HOST_BOOT_DEADLINE_MS,
  RECOVERY_ATTEMPTS_MAX,
  USER_CLOSE_WINDOW_MS,
} from "../../../src/base/limits.ts";
import { Random } from "../random.ts";
import { BRIDGE, FakeBrowser } from "./fake-browser.ts";

const types = (browser: FakeBrowser) => browser.told.map(({ type }) => type);
const phases = (browser: FakeBrowser) => browser.session?.stages.map(({ phase, attempt }) => `${attempt} ${phase}`);
const verified = (browser: FakeBrowser) =>
  browser.pool.driverReports(BRIDGE).verified({ sessionId: browser.session?.sessionId ?? "" });

describe("a host that is lost", () => {
  it("comes back in its page when only the frame died", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(1);
    browser.killFrame(1);
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready"]);
    expect(browser.hostOf(1)).toBe(host);
    expect(types(browser).slice(-4)).toEqual(["fault", "recovering", "verifying", "stage"]);
  });
  it("comes back in its tab when the page's process died", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(0);
    await browser.killPage(0);
    await browser.pass(1_000);
    expect([phases(browser), browser.hostOf(0)]).toEqual([["1 ready", "0 ready"], host]);
  });
  it("is replaced by another when its tab was closed", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(1);
    await browser.closeTab(1);
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready"]);
    expect(browser.hostOf(1)).not.toBe(host);
    expect([browser.hostTabs, Object.keys(browser.state.hosts).length]).toEqual([2, 2]);
  });
  it("is replaced although the disk is full", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.diskFull = true;
    await browser.closeTab(1);
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready"]);
    expect(browser.hostTabs).toBe(2);
  });
  it("leaves no tab behind when the service worker dies before it has closed it", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    for (const tab of browser.tabs.values()) tab.alive = false;
    // Out of the books, and the death comes before the tabs are closed.
    browser.state = { ...browser.state, hosts: {}, sessions: {} };
    await browser.restartWorker();
    expect(browser.hostTabs).toBe(0);
  });
  it("is found out although nobody was there when its page's port broke, and the browser still lists it", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    await browser.restartWorker(async () => {
      for (const tab of browser.tabs.values()) tab.alive = false;
    });
    await browser.pass(3_000);
    expect(phases(browser)).toEqual(["1 ready"]);
  });
  it("is one fault, however many report it", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.killFrame(1);
    browser.killFrame(1);
    await browser.killPage(1);
    await browser.pass(2_000);
    expect(types(browser).filter((type) => type === "fault")).toHaveLength(1);
  });
  it("is fenced: what an earlier attempt still says changes nothing", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const late = { hostId: browser.hostOf(1), attempt: 0 };
    browser.killFrame(1);
    await browser.pass(1_000);
    const state = browser.state;
    const reports = browser.reports();
    reports.fault({ ...late, signal: "frame process gone" });
    reports.ready({ ...late, provider: "webgpu", weightBytes: 1, ms: 1 });
    reports.loadFailed({ ...late, error: { code: "BAD_MODEL", category: "UNKNOWN", message: "no" } });
    await browser.pass(1_000);
    expect(browser.state).toEqual(state);
  });
  it("and declared lost is not revived by what it says before it is replaced", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const lease = { hostId: browser.hostOf(1), attempt: 0 };
    browser.killFrame(1);
    browser.reports().ready({ ...lease, provider: "wasm", weightBytes: 8, ms: 1 });
    browser.reports().loadFailed({ ...lease, error: { code: "HOST_LOST", category: "CRASH", message: "replaced" } });
    await browser.pass(1_000);
    expect([browser.session?.status, phases(browser)]).toEqual(["live", ["0 ready", "1 ready"]]);
  });
});

describe("a host that its driver cannot reach", () => {
  const unreachable = (browser: FakeBrowser, stage: number) => {
    const { sessionId } = browser.session as { sessionId: string };
    const { hostId, attempt } = (browser.session?.stages ?? [])[stage] as { hostId: string; attempt: number };
    browser.pool.driverReports(BRIDGE).unreachable({ sessionId, hosts: [{ hostId, attempt }] });
  };
  const stages = (browser: FakeBrowser) => browser.session?.stages.map(({ hostId, attempt }) => ({ hostId, attempt }));

  it("because its page is frozen is replaced by another; its tab closes", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(1);
    browser.freezeTab(1);
    unreachable(browser, 1);
    await browser.pass(HANG_FLOOR_MS - 1);
    expect(phases(browser)).toEqual(["0 ready", "0 ready"]);
    await browser.pass(1_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready"]);
    expect(browser.hostOf(1)).not.toBe(host);
    expect([browser.hostTabs, browser.state.faults[0]?.category]).toEqual([2, "TIMEOUT"]);
  });
  it("because it works on a run is left alone, as often as the driver says so", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const before = stages(browser);
    for (let time = 0; time < 5; time++) {
      unreachable(browser, 1);
      await browser.pass(2 * HANG_FLOOR_MS);
    }
    expect([stages(browser), browser.state.faults]).toEqual([before, []]);
  });
  it("although it has nothing to do comes back in its page", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(0);
    browser.idleMs = HANG_FLOOR_MS + 1;
    unreachable(browser, 0);
    await browser.pass(1_000);
    expect([phases(browser), browser.hostOf(0)]).toEqual([["1 ready", "0 ready"], host]);
  });
  it("and is not its session's, or was replaced meanwhile, concerns nobody", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const before = stages(browser);
    browser.freezeTab(0);
    const { unreachable: told } = browser.pool.driverReports(BRIDGE);
    told({ sessionId: "other", hosts: [{ hostId: browser.hostOf(0), attempt: 0 }] });
    told({ sessionId: browser.session?.sessionId ?? "", hosts: [{ hostId: browser.hostOf(0), attempt: 7 }] });
    await browser.pass(2 * HANG_FLOOR_MS);
    expect(stages(browser)).toEqual(before);
  });
  it("never answers again, and is given up in the end", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    for (let time = 0; time < RECOVERY_ATTEMPTS_MAX + 1; time++) {
      browser.freezeTab(0);
      unreachable(browser, 0);
      await browser.pass(10_000);
    }
    expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "RECOVERY_FAILED" } });
  });
});

it("a tab that the browser froze is replaced at once, and never counts as closed by the user", async () => {
  const browser = new FakeBrowser();
  await browser.live(3);
  for (const stage of [0, 1]) {
    browser.freezeTab(stage);
    await browser.pool.pages.tabFrozen(browser.tabOf(stage));
    await browser.pass(100);
  }
  expect([browser.session?.status, phases(browser), browser.tabs.size]).toEqual([
    "live",
    ["1 ready", "1 ready", "0 ready"],
    3,
  ]);
  await browser.pool.pages.tabFrozen(4_711);
  // That it froze is told late: its page has been loaded anew since.
  await browser.pool.pages.tabFrozen(browser.tabOf(2));
  expect(browser.state.faults).toHaveLength(2);
});

describe("a recovery that does not work", () => {
  it("is given up after its bound; the session ends, its hosts close and its page hears why", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.deafFromAttempt = 1;
    browser.killFrame(1);
    await browser.pass(20 * HOST_BOOT_DEADLINE_MS);
    expect(types(browser).filter((type) => type === "recovering")).toHaveLength(RECOVERY_ATTEMPTS_MAX);
    expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "RECOVERY_FAILED" } });
    expect([browser.tabs.size, browser.session]).toEqual([0, undefined]);
  });
  it("because the browser opens no tab is given up too", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    browser.refuseTabs = true;
    await browser.closeTab(1);
    await browser.pass(60_000);
    expect(browser.told.at(-1)).toMatchObject({ type: "failed" });
    expect(browser.state.hosts).toEqual({});
  });
  it("but is counted anew once runs were answered", async () => {
    const browser = new FakeBrowser();
    await browser.live(1);
    for (let time = 0; time < 3 * RECOVERY_ATTEMPTS_MAX; time++) {
      browser.killFrame(0);
      await browser.pass(3_000);
      verified(browser);
    }
    expect([browser.session?.status, phases(browser)]).toEqual(["live", [`${3 * RECOVERY_ATTEMPTS_MAX} ready`]]);
    expect(browser.state.faults.every(({ recoveredMs }) => recoveredMs !== null)).toBe(true);
  });
});

describe("tabs that the user closes", () => {
  it("two within a minute pause the session, and nobody fights them", async () => {
    const browser = new FakeBrowser();
    await browser.live(3);
    await browser.closeTab(0);
    await browser.pass(USER_CLOSE_WINDOW_MS / 2);
    await browser.closeTab(1);
    await browser.pass(10_000);
    expect([browser.session?.status, browser.tabs.size]).toEqual(["paused", 0]);
    expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "SESSION_PAUSED" } });
  });
  it("two in more than a minute do not", async () => {
    const browser = new FakeBrowser();
    await browser.live(3);
    for (const stage of [0, 1]) {
      await browser.closeTab(stage);
      await browser.pass(USER_CLOSE_WINDOW_MS + 1_000);
      verified(browser);
    }
    expect([browser.session?.status, browser.hostTabs]).toEqual(["live", 3]);
  });
});

describe("a service worker that starts again", () => {
  it("in peace changes nothing", async () => {
    const browser = new FakeBrowser();
    const info = await browser.live(3);
    // Its spare is there as well.
    await browser.pass(5_000);
    const before = browser.state;
    await browser.restartWorker();
    await browser.pass(60_000);
    expect(browser.state).toEqual(before);
    expect(await browser.attach(info)).toEqual(info);
  });
  it("forgets an open that its page must ask for anew", async () => {
    const browser = new FakeBrowser();
    browser.sendsModel = false;
    void browser.open({ shards: 3 }).catch(() => undefined);
    await browser.pass(100);
    await browser.restartWorker();
    await browser.pass(1_000);
    expect([browser.session, browser.tabs.size, browser.state.hosts]).toEqual([undefined, 0, {}]);
  });
  it("takes up what was lost meanwhile", async () => {
    const browser = new FakeBrowser();
    await browser.live(3);
    browser.killWorker();
    browser.tabs.delete(browser.tabOf(1));
    const dead = browser.tabs.get(browser.tabOf(2));
    if (dead) dead.alive = false;
    await browser.restartWorker();
    await browser.pass(2_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready", "1 ready"]);
    expect(browser.hostTabs).toBe(3);
  });
  it("in the middle of a recovery ends it, at whatever moment", async () => {
    for (let ms = 0; ms < 120; ms += 5) {
      const browser = new FakeBrowser();
      await browser.live(2);
      await browser.closeTab(1);
      await browser.pass(ms);
      await browser.restartWorker();
      await browser.pass(5_000);
      expect(
        browser.session?.stages.map(({ phase }) => phase),
        `after ${ms} ms`,
      ).toEqual(["ready", "ready"]);
      expect([browser.hostTabs, Object.keys(browser.state.hosts).length], `after ${ms} ms`).toEqual([2, 2]);
    }
  });
  it("with the whole browser parks what was live, and leaves no host", async () => {
    const browser = new FakeBrowser();
    await browser.live(3);
    await browser.restartBrowser();
    await browser.pass(60_000);
    expect([browser.session?.status, browser.tabs.size, browser.state.hosts]).toEqual(["parked", 0, {}]);
    expect(browser.popupAllowed).toBe(true);
  });
  it("in the middle of a park or a release closes every host that is left", async () => {
    for (const status of ["parked", "paused", "closing"] as const) {
      const browser = new FakeBrowser();
      const { sessionId } = await browser.live(2);
      const session = { ...browser.state.sessions[sessionId], status } as NonNullable<FakeBrowser["session"]>;
      browser.state = { ...browser.state, sessions: { [sessionId]: session } };
      await browser.restartWorker();
      await browser.pass(1_000);
      expect([browser.tabs.size, browser.state.hosts], status).toEqual([0, {}]);
    }
  });
});

it("whatever happens, in the end every stage is ready in a tab of its own, or nothing is left", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Random(seed);
    const browser = new FakeBrowser();
    const info = await browser.live(1 + random.below(4));
    const stages = info.stages.length;
    for (let step = 0; step < 12; step++) {
      const stage = random.below(stages);
      const happening = random.below(6);
      if (happening === 0) browser.killFrame(stage);
      if (happening === 1) await browser.killPage(stage);
      if (happening === 2) await browser.closeTab(stage);
      if (happening === 3) await browser.restartWorker();
      if (happening === 4) verified(browser);
      await browser.pass(random.below(3_000));
    }
    await browser.pass(10 * HOST_BOOT_DEADLINE_MS);
    const live = browser.session?.status === "live";
    if (live)
      expect(new Set(browser.session?.stages.map(({ phase }) => phase)), `seed ${seed}`).toEqual(new Set(["ready"]));
    expect(browser.hostTabs, `seed ${seed}, ${browser.session?.status}`).toBe(live ? stages : 0);
    expect(Object.keys(browser.state.hosts), `seed ${seed}`).toHaveLength(live ? stages : 0);
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId: info.sessionId });
    expect(browser.tabs.size, `seed ${seed}`).toBe(0);
  }
});

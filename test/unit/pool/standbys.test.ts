import { describe, expect, it } from "vitest";
import { EXTRA_HOSTS_MAX } from "../../../src/base/limits.ts";
import { Random } from "../random.ts";
import { BRIDGE, FakeBrowser } from "./fake-browser.ts";

const UP_MS = 20_000;
const all = (browser: FakeBrowser) => Object.values(browser.state.spares ?? {});
const loaded = (browser: FakeBrowser) =>
  all(browser)
    .filter(({ standby }) => standby?.loaded)
    .map(({ hostId, standby }) => ({ hostId, stage: standby?.stage }))
    .toSorted((a, b) => (a.stage ?? 0) - (b.stage ?? 0));
const verified = (browser: FakeBrowser) =>
  browser.pool.driverReports(BRIDGE).verified({ sessionId: browser.session?.sessionId ?? "" });

async function high(shards = 2): Promise<FakeBrowser> {
  const browser = new FakeBrowser();
  await browser.live(shards, { faultToleranceLevel: "high" });
  await browser.pass(UP_MS);
  return browser;
}

describe("a session at level high", () => {
  it("has a standby of each stage and a spare, each in a tab of its own, and none after its end", async () => {
    const browser = await high(3);
    expect(loaded(browser).map(({ stage }) => stage)).toEqual([0, 1, 2]);
    expect(all(browser).filter(({ standby }) => standby === undefined)).toMatchObject([{ phase: "ready" }]);
    expect(browser.liveTabs).toHaveLength(7);
    const { sessionId = "" } = browser.session ?? {};
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
    await browser.pass(100);
    expect([all(browser), browser.tabs.size]).toEqual([[], 0]);
  });
  it("goes on in the standby of the stage that was lost, and gets another one", async () => {
    const browser = await high();
    const [, standby] = loaded(browser);
    const dead = browser.hostOf(1);
    for (let kill = 1; kill <= 3; kill++) {
      const own = loaded(browser)[1];
      browser.killFrame(1);
      await browser.pass(100);
      expect(browser.hostOf(1)).toBe(own?.hostId);
      verified(browser);
      await browser.pass(UP_MS);
      expect(loaded(browser).map(({ stage }) => stage)).toEqual([0, 1]);
    }
    expect(standby?.hostId).not.toBe(dead);
    expect(browser.session?.stages[1]?.phase).toBe("ready");
    // Two stages, two standbys, a spare.
    expect(browser.tabs.size).toBe(5);
  });
  it("takes a spare where the standby died as well", async () => {
    const browser = await high();
    const [standby] = loaded(browser);
    const spare = all(browser).find((one) => one.standby === undefined);
    browser.reports().fault({ hostId: standby?.hostId ?? "", attempt: 0, signal: "frame process gone" });
    browser.killFrame(0);
    await browser.pass(1_000);
    expect([browser.hostOf(0), browser.session?.stages[0]?.phase]).toEqual([spare?.hostId, "ready"]);
  });
  it("keeps its standbys when the service worker starts anew", async () => {
    const browser = await high();
    const before = loaded(browser);
    await browser.restartWorker();
    await browser.pass(1_000);
    expect(loaded(browser)).toEqual(before);
    browser.killFrame(0);
    await browser.pass(100);
    expect(browser.hostOf(0)).toBe(before[0]?.hostId);
  });
  it("does not suffer from a standby that fails to load: the next spare takes its place", async () => {
    const browser = new FakeBrowser();
    await browser.live(1, { faultToleranceLevel: "high" });
    browser.deafToLoads = true;
    await browser.pass(5_000);
    const [standby] = all(browser).filter((one) => one.standby !== undefined);
    const { hostId = "", attempt = 0 } = standby ?? {};
    const error = { code: "OUT_OF_MEMORY", category: "MEMORY", message: "no" } as const;
    browser.reports().loadFailed({ hostId, attempt, error });
    browser.deafToLoads = false;
    await browser.pass(100);
    expect([loaded(browser).length, browser.session?.status]).toEqual([1, "live"]);
    expect(loaded(browser)[0]?.hostId).not.toBe(hostId);
    expect([...browser.tabs.values()].map((tab) => tab.hostId)).not.toContain(hostId);
  });
  it("is refused, with the number it needs, where there cannot be so many standbys", async () => {
    const browser = await high(EXTRA_HOSTS_MAX - 2);
    const refused = browser.open({ shards: 3, faultToleranceLevel: "high" }).catch((error: unknown) => error);
    expect(await refused).toMatchObject({ code: "TOO_MANY_HOSTS" });
    expect(String(await refused)).toMatch(/needs 3 standbys and 6 of 8 are in use/);
    const opened = browser.open({ shards: 2, faultToleranceLevel: "high" });
    await browser.pass(30_000);
    await opened;
    expect(loaded(browser)).toHaveLength(EXTRA_HOSTS_MAX);
    expect(all(browser)).toHaveLength(EXTRA_HOSTS_MAX);
  });
  it("never gives one site's standby to another's session", async () => {
    const browser = await high(1);
    const [standby] = loaded(browser);
    const { sessionId = "" } = browser.session ?? {};
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
    await browser.pass(100);
    expect([...browser.tabs.values()].map(({ hostId }) => hostId)).not.toContain(standby?.hostId);
  });
});

it("whatever happens to hosts, standbys and spares, nobody is in two places, and in the end all is as it was", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const browser = new FakeBrowser();
    const stages = 1 + random.below(3);
    const { sessionId } = await browser.live(stages, {
      faultToleranceLevel: random.below(3) === 0 ? "medium" : "high",
    });
    const extras = browser.session?.options.faultToleranceLevel === "high" ? stages + 1 : 1;
    for (let step = 0; step < 14; step++) {
      const stage = random.below(stages);
      const extra = all(browser)[random.below(stages + 1)];
      const happening = random.below(8);
      if (happening === 0) browser.killFrame(stage);
      if (happening === 1) await browser.killPage(stage);
      if (happening === 2) await browser.restartWorker();
      if (happening === 3) verified(browser);
      if (extra !== undefined && happening === 4)
        browser.reports().fault({ hostId: extra.hostId, attempt: extra.attempt, signal: "frame process gone" });
      if (extra !== undefined && happening === 5) await browser.killPageOf(extra.hostId);
      if (happening === 6) await browser.killAllPages();
      await browser.pass(random.below(6_000));
      const serving = browser.session?.stages.map(({ hostId }) => hostId) ?? [];
      const extraIds = all(browser).map(({ hostId }) => hostId);
      expect(new Set([...serving, ...extraIds]).size, `seed ${seed}`).toBe(serving.length + extraIds.length);
    }
    verified(browser);
    await browser.pass(400_000);
    if (browser.session?.status === "live") {
      expect(
        browser.session.stages.map(({ phase }) => phase),
        `seed ${seed}`,
      ).toEqual(Array(stages).fill("ready"));
      expect([all(browser).length, browser.tabs.size], `seed ${seed}`).toEqual([extras, stages + extras]);
      const attempts = all(browser).map(({ phase, standby }) => [phase, standby?.loaded ?? true]);
      expect(attempts, `seed ${seed}`).toEqual(Array(extras).fill(["ready", true]));
    }
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
    await browser.pass(1_000);
    expect([browser.tabs.size, all(browser)], `seed ${seed}`).toEqual([0, []]);
  }
});

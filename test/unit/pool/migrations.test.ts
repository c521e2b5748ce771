import { describe, expect, it } from "vitest";
import { MOVE_STILL_MS } from "../../../src/base/limits.ts";
import { Random } from "../random.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const SELF = { bridgeId: BRIDGE, origin: ORIGIN, framedBy: null };
const UP_MS = 20_000;
const extras = (browser: FakeBrowser) => Object.values(browser.state.spares ?? {});
const phases = (browser: FakeBrowser) => browser.session?.stages.map(({ phase }) => phase);
const told = (browser: FakeBrowser) =>
  browser.told.flatMap((event) => (event.type === "migration" ? [`${event.phase} ${event.stages}`] : []));

async function live(stages = 2, options: object = {}): Promise<FakeBrowser> {
  const browser = new FakeBrowser();
  await browser.live(stages, options);
  await browser.pass(UP_MS);
  return browser;
}

const ask = (browser: FakeBrowser, stage: number) =>
  browser.calls().moveHost({ ...SELF, hostId: browser.hostOf(stage) });

describe("a stage that is to move", () => {
  it.each(["none", "medium", "high"] as const)(
    "goes to another host at level %s, and the old one is closed",
    async (level) => {
      const browser = await live(2, { faultToleranceLevel: level });
      const [old, other, tabs] = [browser.hostOf(0), browser.hostOf(1), browser.hostTabs];
      const moved = ask(browser, 0);
      await browser.pass(5_000);
      const { hostId } = browser.session?.stages[0] ?? {};
      expect(await moved).toEqual({ moved: true, hostId });
      expect([hostId !== old, browser.hostOf(1), phases(browser)]).toEqual([true, other, ["ready", "ready"]]);
      expect([...browser.tabs.values()].map((tab) => tab.hostId)).not.toContain(old);
      expect([browser.state.hosts[old], browser.hostTabs]).toEqual([undefined, tabs]);
      expect(told(browser)).toEqual(["begun 0", "done 0"]);
      expect(browser.told.filter(({ type }) => type === "fault")).toEqual([]);
    },
  );
  it("takes the spare that is there, or else opens a tab", async () => {
    const browser = await live(1);
    const [spare] = extras(browser);
    const first = ask(browser, 0);
    await browser.pass(100);
    expect(await first).toEqual({ moved: true, hostId: spare?.hostId });
    const second = ask(browser, 0);
    await browser.pass(100);
    expect(await second).toMatchObject({ moved: true });
    expect(browser.hostOf(0)).not.toBe(spare?.hostId);
  });
  it("stays where it is when the session does not stand still, or nobody answers, and the prepared host goes", async () => {
    for (const standsStill of [false, null]) {
      const browser = await live(2);
      browser.standsStill = standsStill;
      const before = browser.hostOf(1);
      const moved = ask(browser, 1);
      await browser.pass(2 * MOVE_STILL_MS);
      expect(await moved).toEqual({ moved: false, hostId: before });
      expect([phases(browser), extras(browser).length, browser.hostTabs]).toEqual([["ready", "ready"], 1, 2]);
      expect(told(browser)).toEqual(["begun 1", "failed 1"]);
      // Whoever holds back is told what there is, and goes on.
      const stages = browser.told.filter(({ type }) => type === "stage").slice(-2);
      expect(stages).toMatchObject([{ stage: { stage: 0, phase: "ready" } }, { stage: { stage: 1, phase: "ready" } }]);
    }
  });
  it("is not moved when the next host cannot load", async () => {
    const browser = await live(1);
    browser.deafToLoads = true;
    const moved = ask(browser, 0);
    await browser.pass(10);
    const [target] = extras(browser).filter(({ standby }) => standby?.moves);
    const error = { code: "OUT_OF_MEMORY", category: "MEMORY", message: "no" } as const;
    browser.reports().loadFailed({ hostId: target?.hostId ?? "", attempt: target?.attempt ?? 0, error });
    await browser.pass(100);
    expect(await moved).toMatchObject({ moved: false });
    expect(phases(browser)).toEqual(["ready"]);
  });
  it("is recovered when its host dies first, in the host that was prepared", async () => {
    const browser = await live(2);
    browser.standsStill = null;
    const moved = ask(browser, 0);
    await browser.pass(100);
    const [target] = extras(browser).filter(({ standby }) => standby?.moves);
    browser.killFrame(0);
    await browser.pass(1_000);
    expect(await moved).toMatchObject({ moved: false });
    expect([browser.hostOf(0), phases(browser)]).toEqual([target?.hostId, ["ready", "ready"]]);
  });
  it("is recovered when the next host dies just after it got the stage", async () => {
    const browser = await live(2);
    browser.deafToLoads = false;
    const moved = ask(browser, 0);
    await browser.pass(25);
    for (let waits = 0; phases(browser)?.[0] === "ready" && waits < 100; waits++) await browser.pass(1);
    browser.killFrame(0);
    await browser.pass(5_000);
    expect(await moved).toMatchObject({ moved: false });
    expect(phases(browser)).toEqual(["ready", "ready"]);
  });
  it("is none of another site's business", async () => {
    const browser = await live(1);
    const foreign = { bridgeId: "bridge-2", origin: "https://other.example", framedBy: null };
    browser.bridges.add("bridge-2");
    const asked = browser.calls("bridge-2").moveHost({ ...foreign, hostId: browser.hostOf(0) });
    await expect(asked).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  });
});

describe("the offscreen document", () => {
  it("is emptied when a session of a higher level opens: what lives in it goes to tabs, all at once", async () => {
    const browser = await live(2, { faultToleranceLevel: "none", place: "offscreen" });
    expect([browser.offscreen.size, browser.tabs.size]).toEqual([2, 0]);
    const opened = browser.open({ shards: 1, faultToleranceLevel: "medium" });
    await browser.pass(5_000);
    await opened;
    expect([browser.offscreen.size, browser.hostTabs]).toEqual([0, 3]);
    expect(told(browser)).toEqual(["begun 0,1", "done 0,1"]);
    const [first] = Object.values(browser.state.sessions);
    expect(first).toMatchObject({ status: "live", options: { place: "tab" } });
    expect(Object.values(browser.state.hosts).map(({ place }) => place)).toEqual(["tab", "tab", "tab"]);
  });
  it("keeps a session that cannot be moved, and the other one is refused", async () => {
    const browser = await live(1, { faultToleranceLevel: "none", place: "offscreen" });
    browser.standsStill = false;
    const refused = browser.open({ shards: 1, faultToleranceLevel: "medium" }).catch((error: unknown) => error);
    await browser.pass(5_000);
    expect(await refused).toMatchObject({ code: "PLACE_IN_USE" });
    expect([browser.offscreen.size, browser.hostTabs]).toEqual([1, 0]);
  });
});

it("whatever happens meanwhile, nobody is in two places, and in the end every stage has one host", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Random(seed);
    const stages = 1 + random.below(3);
    const level = random.pick(["none", "medium", "high"]);
    const browser = await live(stages, { faultToleranceLevel: level });
    const { sessionId = "" } = browser.session ?? {};
    for (let step = 0; step < 10; step++) {
      const stage = random.below(stages);
      browser.standsStill = random.pick([true, true, true, false, null]);
      void ask(browser, stage).catch(() => undefined);
      await browser.pass(random.below(60));
      const extra = random.pick([...extras(browser), undefined]);
      const happening = random.below(7);
      if (happening === 0) browser.killFrame(stage);
      if (happening === 1) await browser.killPage(stage);
      if (happening === 2) await browser.restartWorker();
      if (happening === 3 && extra !== undefined)
        browser.reports().fault({ hostId: extra.hostId, attempt: extra.attempt, signal: "frame process gone" });
      if (happening === 4 && extra !== undefined) await browser.killPageOf(extra.hostId);
      await browser.pass(random.below(3_000));
      browser.pool.driverReports(BRIDGE).verified({ sessionId });
      const serving = browser.session?.stages.map(({ hostId }) => hostId) ?? [];
      const extraIds = extras(browser).map(({ hostId }) => hostId);
      expect(new Set([...serving, ...extraIds]).size, `seed ${seed}`).toBe(serving.length + extraIds.length);
    }
    await browser.pass(400_000);
    browser.pool.driverReports(BRIDGE).verified({ sessionId });
    await browser.pass(200_000);
    if (browser.session?.status === "live") {
      expect(phases(browser), `seed ${seed}`).toEqual(Array(stages).fill("ready"));
      expect(
        extras(browser).filter(({ standby }) => standby?.moves),
        `seed ${seed}`,
      ).toEqual([]);
      expect(browser.tabs.size, `seed ${seed}`).toBe(stages + extras(browser).length);
    }
    if (browser.session !== undefined) await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId });
    await browser.pass(1_000);
    expect([browser.tabs.size, extras(browser)], `seed ${seed}`).toEqual([0, []]);
  }
}, 60_000);

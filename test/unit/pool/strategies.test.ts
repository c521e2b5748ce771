import { describe, expect, it } from "vitest";
import type { ErrorCategory } from "../../../src/base/errors.ts";
import { HANG_FLOOR_MS, HOST_BOOT_DEADLINE_MS, RECOVERY_ATTEMPTS_MAX } from "../../../src/base/limits.ts";
import type { Ladder } from "../../../src/fault/ladder.ts";
import type { SessionEvent } from "../../../src/protocol/events.ts";
import { allowed, CASES, ladderOf } from "../fault/strategy-table.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

/** What a page may have seen of its host, by the category that it is. */
const SIGNALS: Readonly<Record<ErrorCategory, string>> = {
  CONNECTION: "the port was disconnected",
  CRASH: "RuntimeError: unreachable",
  MEMORY: "std::bad_alloc",
  TIMEOUT: "the run timed out",
  WEBGPU: "the device was lost",
  WEBNN: "MLContext was lost",
  UNKNOWN: "something else",
};

type Recovering = Extract<SessionEvent, { type: "recovering" }>;

const recovering = (browser: FakeBrowser): readonly Recovering[] =>
  browser.told.flatMap((event) => (event.type === "recovering" ? event : []));

/** The steps taken, those at once together: they fall back from the same. */
function rungsOf(browser: FakeBrowser): string[] {
  const rungs = new Map<number, string[]>();
  for (const { tried, step, at } of recovering(browser))
    rungs.set(at, [...(rungs.get(at) ?? []), `${step} after ${tried.length}`]);
  return [...rungs.values()].map((steps) => steps.join(" & "));
}

/** What `ladder` makes of a stage that fails again and again. */
function expectedOf(ladder: Ladder): string[] {
  const climbs = ladder.length === 0 ? 0 : RECOVERY_ATTEMPTS_MAX;
  let tried = 0;
  return Array.from({ length: climbs }, (_, climb) => {
    const rung = ladder[Math.min(climb, ladder.length - 1)] ?? [];
    const told = rung.map((step) => `${step} after ${tried}`).join(" & ");
    tried += rung.length;
    return told;
  });
}

const fail = (browser: FakeBrowser, signal: string) =>
  browser.calls().failHost({ bridgeId: BRIDGE, origin: ORIGIN, framedBy: null, hostId: browser.hostOf(0), signal });

const live = async (level: string, strategy: string, shards = 1): Promise<FakeBrowser> => {
  const browser = new FakeBrowser();
  await browser.live(shards, { faultToleranceLevel: level, recoveryStrategy: strategy });
  return browser;
};

describe("a host that fails again and again is brought back as the table says", () => {
  it.each(CASES.filter(([level, strategy]) => level === "none" || allowed(level).includes(strategy)))(
    "at level %s, strategy %s, category %s",
    async (level, strategy, category) => {
      const browser = await live(level, strategy);
      for (let time = 0; time <= RECOVERY_ATTEMPTS_MAX && browser.session !== undefined; time++) {
        await fail(browser, SIGNALS[category]);
        await browser.pass(800);
      }
      expect(rungsOf(browser)).toEqual(expectedOf(ladderOf(level, strategy, category)));
      expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "RECOVERY_FAILED", category } });
      expect([browser.session, browser.tabs.size]).toEqual([undefined, 0]);
    },
  );
});

describe("what a session tells of a recovery", () => {
  it("is each of its steps, with the time: seen and classified, selected and begun, a host there, given up", async () => {
    const browser = await live("medium", "progressive");
    const since = browser.now;
    await fail(browser, SIGNALS.CRASH);
    await browser.pass(800);
    const [fault, begun, ready] = browser.told.filter(({ type }) => type !== "stage" && type !== "progress");
    expect(fault).toMatchObject({ type: "fault", at: since, category: "CRASH" });
    expect(begun).toMatchObject({ type: "recovering", at: since, strategy: "progressive", step: "restart", tried: [] });
    expect(ready).toMatchObject({ type: "verifying", hostId: browser.hostOf(0), attempt: 1 });
    expect((ready as { at: number }).at).toBeGreaterThan(since);
    await fail(browser, SIGNALS.CRASH);
    await browser.pass(800);
    expect(recovering(browser).at(-1)).toMatchObject({ step: "failover", tried: ["restart"] });
  });
  it("in the end is what was tried, and nothing else", async () => {
    const helpless = await live("medium", "reconnect");
    await fail(helpless, SIGNALS.CRASH);
    const { error } = helpless.told.at(-1) as Extract<SessionEvent, { type: "failed" }>;
    expect(error.message).toMatch(
      /^Stage 0 failed \(.*\), and strategy reconnect has no step at level medium that helps/,
    );
    const tried = await live("medium", "parallel");
    for (let time = 0; time <= RECOVERY_ATTEMPTS_MAX; time++) {
      await fail(tried, SIGNALS.TIMEOUT);
      await tried.pass(800);
    }
    expect(tried.told.at(-1)).toMatchObject({
      error: {
        message: expect.stringContaining(
          "after reconnect beside failover, then restart beside failover, then restart beside failover (",
        ),
      },
    });
  });
});

describe("a host that is reconnected", () => {
  it("is the same frame, with a new lease", async () => {
    const browser = await live("medium", "reconnect");
    const host = browser.hostOf(0);
    await fail(browser, SIGNALS.CONNECTION);
    await browser.pass(100);
    expect(browser.session?.stages[0]).toMatchObject({ hostId: host, attempt: 1, phase: "ready" });
    expect(browser.measureAsked).toHaveLength(1);
  });
  it("and does not answer is tried otherwise", async () => {
    const browser = await live("medium", "progressive");
    browser.deafToLoads = true;
    await fail(browser, SIGNALS.CONNECTION);
    await browser.pass(HANG_FLOOR_MS - 1);
    expect(recovering(browser)).toHaveLength(1);
    browser.deafToLoads = false;
    await browser.pass(1_000);
    expect(recovering(browser).map(({ step }) => step)).toEqual(["reconnect", "restart"]);
    expect(browser.session?.stages[0]?.phase).toBe("ready");
  });
});

describe("two hosts that race for a stage", () => {
  const quick = { provider: "wasm", weightBytes: 8, ms: 1 } as const;

  it("the one in its page is there first: the other is undone", async () => {
    const browser = await live("medium", "parallel", 2);
    const host = browser.hostOf(1);
    browser.killFrame(1);
    await browser.pass(8);
    // Both are on their way.
    expect(browser.tabs.size).toBe(3);
    await browser.pass(500);
    expect([browser.hostOf(1), browser.session?.stages[1]?.phase]).toEqual([host, "ready"]);
    expect(Object.values(browser.state.spares ?? {}).filter(({ standby }) => standby !== undefined)).toEqual([]);
    expect(browser.hostTabs).toBe(2);
  });

  it("the other is there first: the one in its page is undone, and what it says counts for nothing", async () => {
    const browser = await live("medium", "parallel", 2);
    const host = browser.hostOf(1);
    const boots = browser.deafHosts;
    boots.add(host);
    browser.killFrame(1);
    await browser.pass(1_000);
    const winner = browser.hostOf(1);
    expect(winner).not.toBe(host);
    expect(browser.session?.stages[1]).toMatchObject({ phase: "ready" });
    expect([browser.hostTabs, browser.state.hosts[host]]).toEqual([2, undefined]);
    browser.reports().ready({ hostId: host, attempt: 1, ...quick });
    await browser.pass(100);
    expect(browser.hostOf(1)).toBe(winner);
    // One rung, of two steps.
    expect(recovering(browser).map(({ step }) => step)).toEqual(["restart", "failover"]);
  });

  it("the one in its page fails: the other is waited for, and the rung has not failed", async () => {
    const browser = await live("medium", "parallel", 2);
    const host = browser.hostOf(1);
    browser.deafHosts.add(host);
    browser.killFrame(1);
    await browser.pass(8);
    browser.killFrame(1);
    await browser.pass(1_000);
    expect(browser.session?.stages[1]?.phase).toBe("ready");
    expect(browser.hostOf(1)).not.toBe(host);
    expect(recovering(browser)).toHaveLength(2);
  });

  it("both fail: the next rung is climbed, and in the end nothing is left", async () => {
    const browser = await live("medium", "parallel", 2);
    browser.deafFromAttempt = 0;
    browser.killFrame(1);
    await browser.pass(10 * HOST_BOOT_DEADLINE_MS);
    expect(rungsOf(browser)).toHaveLength(RECOVERY_ATTEMPTS_MAX);
    expect(browser.told.at(-1)).toMatchObject({ type: "failed", error: { code: "RECOVERY_FAILED" } });
    await browser.pass(10 * HOST_BOOT_DEADLINE_MS);
    expect([browser.tabs.size, Object.keys(browser.state.spares ?? {})]).toEqual([0, []]);
  });

  it("and a service worker that dies meanwhile leaves one of them, at whatever moment", async () => {
    for (let ms = 0; ms < 60; ms += 4) {
      const browser = await live("medium", "parallel", 2);
      browser.killFrame(1);
      await browser.pass(ms);
      await browser.restartWorker();
      await browser.pass(800);
      expect(browser.session?.stages[1]?.phase, `after ${ms} ms`).toBe("ready");
      const rivals = Object.values(browser.state.spares ?? {}).filter(({ standby }) => standby !== undefined);
      expect([browser.hostTabs, rivals], `after ${ms} ms`).toEqual([2, []]);
    }
  });

  it("at level high the standby has won before it begins", async () => {
    const browser = await live("high", "parallel");
    await browser.pass(20_000);
    const host = browser.hostOf(0);
    const standby = Object.values(browser.state.spares ?? {}).find((spare) => spare.standby?.loaded);
    browser.killFrame(0);
    await browser.pass(100);
    expect(browser.hostOf(0)).toBe(standby?.hostId);
    expect(browser.hostOf(0)).not.toBe(host);
  });
});

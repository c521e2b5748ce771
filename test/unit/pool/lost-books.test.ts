import { describe, expect, it } from "vitest";
import type { StageInfo } from "../../../src/protocol/events.ts";
import type { SessionInfo } from "../../../src/protocol/pool.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const phases = (browser: FakeBrowser) => browser.session?.stages.map(({ phase, attempt }) => `${attempt} ${phase}`);

/** The driver of a page goes on with its session at a new service worker, and says what it was told of the hosts. */
async function attach(browser: FakeBrowser, { sessionId, secret }: SessionInfo, known: StageInfo[]): Promise<void> {
  await browser.calls().attachSession({ bridgeId: BRIDGE, origin: ORIGIN, framedBy: null, sessionId, secret, known });
  await browser.pass(2_000);
}

describe("a service worker whose disk has lost what was noted last", () => {
  it("replaces a host whose tab was frozen before it started", async () => {
    const browser = new FakeBrowser();
    await browser.live(2);
    const host = browser.hostOf(1);
    browser.freezeTab(1);
    await browser.restartWorker();
    await browser.pass(2_000);
    expect(phases(browser)).toEqual(["0 ready", "1 ready"]);
    expect(browser.hostOf(1)).not.toBe(host);
  });
  it.each<[string, Partial<StageInfo>, string]>([
    ["a later attempt", { attempt: 2, phase: "starting" }, "3 ready"],
    ["the same attempt in another host", { hostId: "other" }, "1 ready"],
    ["the loss of the host", { phase: "lost" }, "1 ready"],
    ["what the books say", {}, "0 ready"],
  ])("and whose driver was told of %s", async (_, told, expected) => {
    const browser = new FakeBrowser();
    const info = await browser.live(2);
    await browser.restartWorker();
    await attach(
      browser,
      info,
      info.stages.map((stage) => (stage.stage === 0 ? { ...stage, ...told } : stage)),
    );
    expect(phases(browser)).toEqual([expected, "0 ready"]);
    expect(browser.hostTabs).toBe(2);
  });
});

import { describe, expect, it } from "vitest";
import { BREAKER_FAILURES, BREAKER_OPEN_MS } from "../../../src/base/limits.ts";
import type { SessionEvent } from "../../../src/protocol/events.ts";
import { BRIDGE, FakeBrowser, ORIGIN } from "./fake-browser.ts";

const GPU = { executionProviders: ["webgpu", "wasm"], maxRecoveryAttempts: 10 };

async function failing(options: object, times = BREAKER_FAILURES): Promise<FakeBrowser> {
  const browser = new FakeBrowser();
  browser.provider = "webgpu";
  await browser.live(2, options);
  for (let time = 0; time < times; time++) {
    browser.killFrame(1);
    await browser.pass(2_500);
  }
  return browser;
}

const verified = (browser: FakeBrowser) =>
  browser.pool.driverReports(BRIDGE).verified({ sessionId: browser.session?.sessionId ?? "" });
const breakersOf = async (browser: FakeBrowser, origin = ORIGIN) =>
  (await browser.calls().originStatus({ bridgeId: BRIDGE, origin, framedBy: null, known: {} })).circuitBreakers;
const providers = (browser: FakeBrowser) => browser.session?.stages.map(({ provider }) => provider);

describe("a stage that fails again and again on one provider", () => {
  it("is given to the next one that its session allows; the other stage stays where it is", async () => {
    const almost = await failing(GPU, BREAKER_FAILURES - 1);
    expect(providers(almost)).toEqual(["webgpu", "webgpu"]);
    const browser = await failing(GPU);
    expect(providers(browser)).toEqual(["webgpu", "wasm"]);
    expect(browser.told).toContainEqual({ type: "provider", stage: 1, from: "webgpu", to: "wasm" });
    const [breaker, ...others] = await breakersOf(browser);
    expect(breaker).toMatchObject({ stage: 1, provider: "webgpu", place: "tab", state: "open", weights: "plan" });
    expect([others, await breakersOf(browser, "https://other.example")]).toEqual([[], []]);
  });

  it("is not taken as failing while its runs are answered in between", async () => {
    const browser = await failing(GPU, 0);
    for (let time = 0; time < 2 * BREAKER_FAILURES; time++) {
      browser.killFrame(1);
      await browser.pass(2_500);
      verified(browser);
    }
    expect([providers(browser), await breakersOf(browser)]).toEqual([["webgpu", "webgpu"], []]);
  });

  it("and may have no other ends with an error that says when to try again", async () => {
    const browser = await failing({ executionProviders: ["webgpu"], maxRecoveryAttempts: 10 });
    const { error } = browser.told.at(-1) as Extract<SessionEvent, { type: "failed" }>;
    expect(error).toMatchObject({ code: "CIRCUIT_OPEN", category: "UNKNOWN" });
    const [breaker] = await breakersOf(browser);
    expect(error.message).toContain(new Date(breaker?.retryAt ?? 0).toISOString());
  });

  it("stays off it in a new session, and is on trial there once the time is over", async () => {
    const browser = await failing({ executionProviders: ["webgpu"], maxRecoveryAttempts: 10 });
    await expect(browser.live(2, GPU)).resolves.toMatchObject({
      stages: [{ provider: "webgpu" }, { provider: "wasm" }],
    });
    await browser.calls().releaseSession({ bridgeId: BRIDGE, sessionId: browser.session?.sessionId ?? "" });
    const refused = browser.open({ shards: 2, executionProviders: ["webgpu"] });
    refused.catch(() => undefined);
    await browser.pass(1_000);
    await expect(refused).rejects.toMatchObject({ code: "CIRCUIT_OPEN" });
    await browser.pass(BREAKER_OPEN_MS);
    await browser.live(2, { executionProviders: ["webgpu"] });
    expect(providers(browser)).toEqual(["webgpu", "webgpu"]);
    expect(await breakersOf(browser)).toMatchObject([{ state: "half_open", successes: 0, retryAt: null }]);
    for (let time = 0; time < 3; time++) verified(browser);
    expect(await breakersOf(browser)).toEqual([]);
  });

  it("but closed by its user is not", async () => {
    const browser = await failing(GPU, 0);
    await browser.closeTab(1);
    await browser.pass(2_500);
    expect(await breakersOf(browser)).toEqual([]);
  });
});

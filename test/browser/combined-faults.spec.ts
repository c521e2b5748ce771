/** More than one fault, and the user's own hand. */
import { REPLAY_RUNS_MAX } from "../../src/base/limits.ts";
import { expect, test } from "./harness/fixtures.ts";
import { closeTab } from "./support/faults.ts";
import { HeldHost } from "./support/hold.ts";
import {
  eventsOf,
  expectUndisturbed,
  generate,
  MOBY,
  openMoby,
  openSession,
  REFERENCE,
  release,
} from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";
import { decode } from "./support/steps.ts";

const REFERENCE_0 = REFERENCE[0] as (typeof REFERENCE)[number];

test.describe.configure({ timeout: 240_000 });

test("all host tabs and the bridge die at once: 64 of 64 tokens, each once", async ({ browser, page }) => {
  const { processes } = browser;
  const run = wholeNumber(randomFor("host tabs and bridge"), 1, 60);
  console.log(`HOLDFAST_SEED=${SEED}: host tabs and bridge killed at run ${run}`);
  const [hostId] = await openMoby(page);
  const pids = await Promise.all([processes.pidOfHostTabs(), processes.pidOfBridge(page.targetId)]);
  const held = await HeldHost.arm(browser, hostId as string, "compute", run);
  const tokens = generate(page, REFERENCE_0.prompt);
  await held.reached();
  for (const pid of pids) processes.kill(pid);
  await held.release({ lost: true });
  expectUndisturbed(await tokens, REFERENCE_0);
  for (const { replayedRuns } of await eventsOf(page, "recovered"))
    expect(replayedRuns).toBeLessThanOrEqual(REPLAY_RUNS_MAX);
  await release(page);
});

test("two neighbouring stages die at once, and one of them again: 64 of 64 tokens, each once", async ({
  browser,
  page,
}) => {
  const { processes } = browser;
  const random = randomFor("one stage twice");
  const [first, second] = [wholeNumber(random, 1, 25), wholeNumber(random, 30, 60)];
  console.log(`HOLDFAST_SEED=${SEED}: stages 1 and 2 killed at run ${first}, stage 1 again at run ${second}`);
  const [, one = "", two = ""] = await openMoby(page);
  const pids = await Promise.all([processes.pidOfHost(one), processes.pidOfHost(two)]);
  const held = await HeldHost.arm(browser, one, "answer", first);
  const tokens = generate(page, REFERENCE_0.prompt);
  await held.reached();
  for (const pid of pids) processes.kill(pid);
  await held.release();
  // The frame is a new one, in the same tab.
  await page.waitFor(() => {
    const { events } = window.underTest;
    return events.filter((event) => event.type === "stage" && event.stage.attempt > 0).length >= 2;
  });
  const again = await HeldHost.arm(browser, one, "dispatch", second);
  const pid = await processes.pidOfHost(one);
  await again.reached();
  processes.kill(pid);
  await again.release();
  expectUndisturbed(await tokens, REFERENCE_0);
  const recovered = await eventsOf(page, "recovered");
  expect(recovered.filter(({ stage }) => stage === 1)).toHaveLength(2);
  for (const { replayedRuns } of recovered) expect(replayedRuns).toBeLessThanOrEqual(REPLAY_RUNS_MAX);
  await release(page);
});

test("a host dies again before its recovery is done: 64 of 64 tokens, each once @long", async ({ browser, page }) => {
  const { processes } = browser;
  const [hostId = ""] = await openMoby(page);
  const held = await HeldHost.arm(browser, hostId, "compute", 20);
  const pid = await processes.pidOfHost(hostId);
  const tokens = generate(page, REFERENCE_0.prompt);
  await held.reached();
  processes.kill(pid);
  await page.waitFor(() => window.underTest.events.some(({ type }) => type === "recovering"));
  await processes.killFrame(hostId);
  await held.release();
  expectUndisturbed(await tokens, REFERENCE_0);
  await release(page);
});

test("the page's own token loop over a killed host gives the same bits", async ({ browser, page }) => {
  const { prompt_ids } = REFERENCE_0;
  const options = { shards: 3, faultToleranceLevel: "medium", executionProviders: ["wasm"] } as const;
  await openSession(page, MOBY, options);
  const undisturbed = await decode(page, prompt_ids, 40);
  await release(page);
  const random = randomFor("own loop");
  const [run, stage] = [wholeNumber(random, 1, 38), wholeNumber(random, 0, 2)];
  console.log(`HOLDFAST_SEED=${SEED}: host of stage ${stage} killed in run ${run} of the page's own loop`);
  const hostId = (await openSession(page, MOBY, options))[stage] as string;
  const pid = await browser.processes.pidOfHost(hostId);
  const held = await HeldHost.arm(browser, hostId, "compute", run);
  const steps = decode(page, prompt_ids, 40);
  await held.reached();
  browser.processes.kill(pid);
  await held.release();
  expect(await steps).toEqual(undisturbed);
  expect(undisturbed.map(({ token }) => token)).toEqual(REFERENCE_0.ids.slice(0, 40));
  await release(page);
});

test("a host tab that is reloaded comes back @long", async ({ browser, page }) => {
  const [hostId = ""] = await openMoby(page);
  const tab = await browser.attach(({ url }) => url.includes(`host-tab.html?host=${hostId}`));
  const held = await HeldHost.arm(browser, hostId, "dispatch", 20);
  const tokens = generate(page, REFERENCE_0.prompt);
  await held.reached();
  await tab.send("Page.reload");
  await held.release({ lost: true });
  expectUndisturbed(await tokens, REFERENCE_0);
  await tab.detach();
  await release(page);
});

test("two host tabs closed within a minute pause the session, and leave no tab", async ({ browser, page }) => {
  const hosts = await openMoby(page);
  const held = await HeldHost.arm(browser, hosts[0] as string, "dispatch", 20);
  const failure = page.evaluate(async (prompt) => {
    try {
      for await (const _ of window.underTest.session.generate(prompt, { maxNewTokens: 64 }));
      return null;
    } catch (error) {
      return (error as { code?: string }).code;
    }
  }, REFERENCE_0.prompt);
  await held.reached();
  const close = [await closeTab(browser, hosts[1] as string), await closeTab(browser, hosts[2] as string)];
  for (const now of close) await now();
  expect(await failure).toBe("SESSION_PAUSED");
  await held.release({ lost: true });
  const left = async () =>
    (await browser.targets()).filter(({ url }) => url.includes("offscreen/host-tab.html")).length;
  await expect.poll(left, { timeout: 30_000 }).toBe(0);
});

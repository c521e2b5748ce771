/** The GPU process dies in the middle of a session: first the GPU is taken up again, then wasm takes over. */
import type { Provider } from "../../src/protocol/options.ts";
import { type Browser, expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, MOBY, openSession, REFERENCE, release } from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";
import { compareSteps, decode, largestDifference, type Step } from "./support/steps.ts";

const STEPS = 8;
const TOLERANCE = 1e-4;
const PROMPT = (REFERENCE[0] as (typeof REFERENCE)[number]).prompt_ids;

test.describe.configure({ timeout: 600_000 });

for (const phase of ["dispatch", "compute", "answer"] as const) {
  // One phase in every run; the others in the long one.
  const tag = phase === "compute" ? "" : " @long";
  test(`the GPU is lost, phase ${phase}: ${STEPS} steps agree with undisturbed ones${tag}`, async ({
    launch,
    site,
  }) => {
    const browser = await launch();
    const page = await openConsentedPage(browser, site.origin);
    const undisturbed = await undisturbedSteps(page, "webgpu");
    const random = randomFor(`GPU ${phase}`);
    const run = wholeNumber(random, 1, STEPS - 2);
    const stage = wholeNumber(random, 0, 1);
    console.log(`HOLDFAST_SEED=${SEED}: GPU lost, phase ${phase} of run ${run} in stage ${stage}`);

    const hosts = await openOn(page, ["webgpu", "wasm"]);
    expect(await providers(page)).toEqual(["webgpu", "webgpu"]);
    const held = await HeldHost.arm(browser, hosts[stage] as string, phase, run);
    const steps = decode(page, PROMPT, STEPS);
    await held.reached();
    await loseGpu(browser, page, 1);
    await held.release();

    // The GPU came back, so nothing but its own rounding may differ: 1e-4 as it is, not in proportion.
    const disturbed = await steps;
    expectAgreement(disturbed, undisturbed);
    expect(largestDifference(disturbed, undisturbed)).toBeLessThan(TOLERANCE);
    expect(await providers(page)).toContain("webgpu");
    expect((await eventsOf(page, "recovered")).length).toBeGreaterThan(0);
    await expectChangesTold(page);
    await release(page);
  });
}

test("the GPU is lost twice: wasm takes over, and each stage tells it once @long", async ({ launch, site }) => {
  const browser = await launch();
  const page = await openConsentedPage(browser, site.origin);
  const undisturbed = await undisturbedSteps(page, "wasm");
  const [hostId] = await openOn(page, ["webgpu", "wasm"]);
  const first = await HeldHost.arm(browser, hostId as string, "answer", 2);
  const steps = decode(page, PROMPT, STEPS);
  await first.reached();
  await loseGpu(browser, page, 1);
  await first.release();
  await page.waitFor(() => window.underTest.events.some(({ type }) => type === "recovered"), { timeoutMs: 120_000 });
  await loseGpu(browser, page, 2);

  expectAgreement(await steps, undisturbed);
  expect(await providers(page)).toEqual(["wasm", "wasm"]);
  await expectChangesTold(page);
  await release(page);
});

async function undisturbedSteps(page: Page, provider: Provider): Promise<Step[]> {
  await openOn(page, [provider]);
  const steps = await decode(page, PROMPT, STEPS);
  await release(page);
  return steps;
}

async function openOn(page: Page, executionProviders: readonly Provider[]): Promise<string[]> {
  return openSession(page, MOBY, { shards: 2, faultToleranceLevel: "medium", executionProviders });
}

function providers(page: Page): Promise<(Provider | null)[]> {
  return page.evaluate(() => window.underTest.session.stages.map(({ provider }) => provider));
}

/** Kills the GPU process, and waits until every stage on it was seen to be lost. */
async function loseGpu(browser: Browser, page: Page, times: number): Promise<void> {
  const onGpu = (await providers(page)).filter((provider) => provider === "webgpu").length;
  expect(onGpu).toBeGreaterThan(0);
  await browser.processes.killGpu();
  await expect
    .poll(async () => (await eventsOf(page, "fault")).filter(({ category }) => category === "WEBGPU").length, {
      timeout: 120_000,
    })
    .toBeGreaterThanOrEqual(times);
}

function expectAgreement(steps: readonly Step[], undisturbed: readonly Step[]): void {
  const { error, margin } = compareSteps(steps, undisturbed);
  expect(error).toBeLessThan(TOLERANCE);
  // The lead of the first token is more than rounding could take away.
  expect(margin).toBeGreaterThan(2 * TOLERANCE);
}

/** What runs on another provider than before was told, once a stage; what came back on the GPU was not. */
async function expectChangesTold(page: Page): Promise<void> {
  const changes = await eventsOf(page, "provider");
  const moved = (await providers(page)).flatMap((provider, stage) => (provider === "wasm" ? [stage] : []));
  expect(changes.map(({ stage }) => stage).sort()).toEqual(moved);
  for (const { from, to } of changes) expect({ from, to }).toEqual({ from: "webgpu", to: "wasm" });
}

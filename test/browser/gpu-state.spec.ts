/** On a GPU the state stays there: checkpoints read its new rows back, and what is put back goes on as if nothing had been. */
import { statusOf } from "./checks/status.ts";
import { expect, openConsentedPage, test } from "./harness/fixtures.ts";
import { eventsOf, MOBY, openSession, REFERENCE, release } from "./support/moby.ts";
import { compareSteps, decode } from "./support/steps.ts";

const STEPS = 5;
const TOLERANCE = 1e-4;
const PROMPT = (REFERENCE[0] as (typeof REFERENCE)[number]).prompt_ids;
/** moby-llama: 6 layers, keys and values, 2 heads of 32 floats. */
const ROW_BYTES = 6 * 2 * 2 * 32 * 4;

test.describe.configure({ timeout: 600_000 });

test("every run of a session on the GPU is a durable point, of which its new rows alone are stored", async ({
  launch,
  site,
}) => {
  const browser = await launch();
  const page = await openConsentedPage(browser, site.origin);
  const options = { shards: 2, checkpointIntervalMs: 0 } as const;
  await openSession(page, MOBY, { ...options, executionProviders: ["wasm"] });
  const onWasm = await decode(page, PROMPT, STEPS);
  await release(page);

  const hosts = await openSession(page, MOBY, { ...options, executionProviders: ["webgpu"] });
  const providers = await page.evaluate(() => window.underTest.session.stages.map(({ provider }) => provider));
  expect(providers).toEqual(["webgpu", "webgpu"]);
  const onGpu = await decode(page, PROMPT, STEPS);
  expect(compareSteps(onGpu, onWasm).error).toBeLessThan(TOLERANCE);
  await page.evaluate(() => window.underTest.session.makeDurable());
  const rows = PROMPT.length + STEPS - 1;
  const stateBytes = async () => (await statusOf(browser)).sessions[0]?.stateBytes;
  await expect.poll(stateBytes, { timeout: 30_000 }).toBe(rows * ROW_BYTES);

  // The same sequence once more, with a host killed in the middle of it.
  const steps = decode(page, PROMPT, STEPS);
  await expect
    .poll(async () => (await eventsOf(page, "durable")).at(-1)?.run ?? -1, { timeout: 120_000 })
    .toBeGreaterThan(STEPS);
  browser.processes.kill(await browser.processes.pidOfHost(hosts[1] as string));
  expect(compareSteps(await steps, onGpu).error).toBeLessThan(TOLERANCE);
  expect((await eventsOf(page, "recovered")).length).toBeGreaterThan(0);
  await release(page);
});

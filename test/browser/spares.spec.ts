/** A host that died is replaced by one that has onnxruntime loaded already; nobody gets a frame that computed for another. */
import { statusOf } from "./checks/status.ts";
import { type Browser, expect, test } from "./harness/fixtures.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";

const REFERENCE_0 = REFERENCE[0] as (typeof REFERENCE)[number];

async function readySpare(browser: Browser): Promise<string> {
  const ready = async () => (await statusOf(browser)).spares.find(({ phase }) => phase === "ready")?.hostId ?? "";
  await expect.poll(ready, { timeout: 30_000 }).not.toBe("");
  return ready();
}

test("a SIGKILL is recovered through the spare, and the dead host's tab is the next spare", async ({
  browser,
  page,
}) => {
  test.setTimeout(180_000);
  const [first = "", second = ""] = await openMoby(page, { shards: 2 });
  const spare = await readySpare(browser);
  expect([first, second]).not.toContain(spare);
  const pids = { dead: await browser.processes.pidOfHost(second), spare: await browser.processes.pidOfHost(spare) };
  const tokens = generate(page, REFERENCE_0.prompt);
  await expect.poll(async () => (await eventsOf(page, "durable")).length, { timeout: 60_000 }).toBeGreaterThan(0);
  browser.processes.kill(pids.dead);
  expectUndisturbed(await tokens, REFERENCE_0);

  expect(await eventsOf(page, "recovered")).toMatchObject([{ stage: 1, hostId: spare }]);
  const { hosts } = await statusOf(browser);
  expect(hosts.find(({ stage }) => stage === 1)?.hostId).toBe(spare);
  expect(await browser.processes.pidOfHost(spare)).toBe(pids.spare);
  // The tab that is left begins anew, in a process of its own.
  expect(await readySpare(browser)).toBe(second);
  expect(await browser.processes.pidOfHost(second)).not.toBe(pids.dead);
  await release(page);
  await expect.poll(async () => (await statusOf(browser)).spares, { timeout: 30_000 }).toEqual([]);
});

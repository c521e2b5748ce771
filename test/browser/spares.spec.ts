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

test("level high: a SIGKILL is a switch to the standby, which has the shard and the state", async ({
  browser,
  page,
}) => {
  test.setTimeout(240_000);
  const hosts = await openMoby(page, { shards: 2, faultToleranceLevel: "high" });
  const standbyOf = async (stage: number) =>
    (await statusOf(browser)).spares.find(({ standby }) => standby?.stage === stage && standby.loaded)?.hostId ?? "";
  for (const stage of hosts.keys()) await expect.poll(() => standbyOf(stage), { timeout: 60_000 }).not.toBe("");
  const standby = await standbyOf(1);
  const domains = await page.evaluate(() => window.underTest.session.guarantees.reason);
  expect(domains).toMatch(/standby in a process of its own.*share/);
  const pids = {
    dead: await browser.processes.pidOfHost(hosts[1] ?? ""),
    standby: await browser.processes.pidOfHost(standby),
  };
  expect(new Set([...Object.values(pids), await browser.processes.pidOfHost(hosts[0] ?? "")]).size).toBe(3);

  const tokens = generate(page, REFERENCE_0.prompt);
  await expect
    .poll(async () => (await eventsOf(page, "durable")).at(-1)?.run ?? -1, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(16);
  browser.processes.kill(pids.dead);
  expectUndisturbed(await tokens, REFERENCE_0);
  const recovered = await eventsOf(page, "recovered");
  expect(recovered).toMatchObject([{ stage: 1, hostId: standby }]);
  expect(await browser.processes.pidOfHost(standby)).toBe(pids.standby);
  expect(recovered[0]?.restoredRun).toBeGreaterThanOrEqual(16);
  console.log(`recovered in ${recovered[0]?.ms} ms, ${recovered[0]?.replayedRuns} runs done again`);
  // The stage has a standby again, and no host is left over in the end.
  await expect.poll(() => standbyOf(1), { timeout: 60_000 }).not.toBe("");
  expect(await standbyOf(1)).not.toBe(standby);
  await release(page);
  await expect.poll(async () => (await statusOf(browser)).spares, { timeout: 30_000 }).toEqual([]);
});

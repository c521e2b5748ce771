/** The strategies that take more than one host, or more than one stage, at a time: a real host process dies in the middle of a generation. */
import type { RecoveryStrategy } from "../../src/fault/levels.ts";
import type { SessionEvent } from "../../src/protocol/events.ts";
import { type Browser, expect, type Page, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";

test.describe.configure({ timeout: 120_000 });

const [REFERENCE_RUN] = REFERENCE as readonly [(typeof REFERENCE)[number]];

/** The second of three hosts dies in run 20. What the session told of it. */
async function killSecond(browser: Browser, page: Page, recoveryStrategy: RecoveryStrategy): Promise<SessionEvent[]> {
  const [, hostId = ""] = await openMoby(page, { recoveryStrategy });
  const pid = await browser.processes.pidOfHost(hostId);
  const held = await HeldHost.arm(browser, hostId, "compute", 20);
  const tokens = generate(page, REFERENCE_RUN.prompt);
  await held.reached();
  browser.processes.kill(pid);
  await held.release();
  expectUndisturbed(await tokens, REFERENCE_RUN);
  await expect.poll(async () => (await eventsOf(page, "recovered")).length).toBe(1);
  return page.evaluate(() => window.underTest.events);
}

/** The times of a recovery's steps, in the order in which they come. */
function expectInOrder(events: readonly SessionEvent[]): void {
  const steps = ["fault", "recovering", "verifying", "recovered"];
  const told = events.filter(({ type }) => steps.includes(type)) as { readonly type: string; readonly at: number }[];
  expect(told.map(({ type }) => type)).toEqual(
    [...told].sort((a, b) => steps.indexOf(a.type) - steps.indexOf(b.type)).map(({ type }) => type),
  );
  for (const [index, { at }] of told.entries()) expect(at).toBeGreaterThanOrEqual(told[index - 1]?.at ?? 0);
}

test("parallel: two hosts race for a stage whose host was killed, one carries it, none is left over", async ({
  browser,
  page,
}) => {
  const events = await killSecond(browser, page, "parallel");
  const begun = events.flatMap((event) => (event.type === "recovering" ? [`${event.stage} ${event.step}`] : []));
  expect(begun).toEqual(["1 restart", "1 failover"]);
  expectInOrder(events);
  await release(page);
  const tabs = async (): Promise<number> =>
    (await browser.targets()).filter(({ url }) => url.includes("host-tab.html")).length;
  await expect.poll(tabs).toBe(0);
});

test("coordinated: all three stages are put back to one run, and go on together", async ({ browser, page }) => {
  const events = await killSecond(browser, page, "coordinated");
  const [recovered] = events.flatMap((event) => (event.type === "recovered" ? event : []));
  expect(recovered?.stage).toBe(1);
  // The first stage does again what came since: all of them stand at the same run.
  expect(recovered?.replayedRuns).toBeGreaterThan(0);
  expectInOrder(events);
  await release(page);
});

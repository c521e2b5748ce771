/** A host tab that the browser freezes: its port stays open and its keeper is frozen with it, so nothing in it says so. */
import { until } from "../../src/demo/launch/wait.mjs";
import { expect, test } from "./harness/fixtures.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";

test.describe.configure({ timeout: 240_000 });

test("a frozen host tab is replaced: 64 of 64 tokens, each once", async ({ browser, page }) => {
  const random = randomFor("frozen");
  const stage = wholeNumber(random, 0, 2);
  const run = wholeNumber(random, 1, 40);
  const reference = REFERENCE[wholeNumber(random, 0, REFERENCE.length - 1)] as (typeof REFERENCE)[number];
  console.log(`HOLDFAST_SEED=${SEED}: stage ${stage} frozen at run ${run}`);

  const hostId = (await openMoby(page))[stage] as string;
  const held = await HeldHost.arm(browser, hostId, "dispatch", run);
  const tokens = generate(page, reference.prompt);
  await held.reached();
  await held.release({ lost: true });
  const tab = await browser.attach(({ url }) => url.includes(`host-tab.html?host=${hostId}`));
  await tab.send("Page.enable");
  await tab.send("Page.setWebLifecycleState", { state: "frozen" });

  expectUndisturbed(await tokens, reference);
  const [fault] = await eventsOf(page, "fault");
  expect(fault).toMatchObject({ stage, category: "TIMEOUT", signal: "host tab frozen" });
  expect((await eventsOf(page, "recovered")).map((event) => event.stage)).toContain(stage);
  await until("the frozen tab to be gone", async () =>
    (await browser.targets()).every(({ url }) => !url.includes(`host-tab.html?host=${hostId}`)),
  );
  await release(page);
});

test("a host whose page takes no ports is found and replaced: 64 of 64 tokens, each once", async ({
  browser,
  page,
}) => {
  const random = randomFor("deaf");
  const deaf = wholeNumber(random, 0, 2);
  const lost = (deaf + 1) % 3;
  const run = wholeNumber(random, 1, 40);
  const reference = REFERENCE[wholeNumber(random, 0, REFERENCE.length - 1)] as (typeof REFERENCE)[number];
  console.log(`HOLDFAST_SEED=${SEED}: stage ${deaf} deaf when stage ${lost} is lost at run ${run}`);

  const hostIds = await openMoby(page);
  const hostTab = ({ url }: { url: string }) => url.includes(`host-tab.html?host=${hostIds[deaf]}`);
  const tab = await browser.attach(hostTab);
  // Its thread goes on and its keeper lives, so nothing looks wrong until the stages are to be wired anew.
  await tab.evaluate(() => {
    navigator.serviceWorker.onmessage = null;
  });
  await tab.detach();
  const held = await HeldHost.arm(browser, hostIds[lost] as string, "dispatch", run);
  const pid = await browser.processes.pidOfHost(hostIds[lost] as string);
  const tokens = generate(page, reference.prompt);
  await held.reached();
  browser.processes.kill(pid);
  await held.release();

  expectUndisturbed(await tokens, reference);
  const faults = await eventsOf(page, "fault");
  expect(faults.map(({ stage, category }) => [stage, category])).toEqual([
    [lost, "CRASH"],
    [deaf, "TIMEOUT"],
  ]);
  expect((await eventsOf(page, "recovered")).map(({ stage }) => stage).sort()).toEqual([deaf, lost].sort());
  await until("the deaf page to be gone", async () => (await browser.targets()).every((target) => !hostTab(target)));
  await release(page);
});

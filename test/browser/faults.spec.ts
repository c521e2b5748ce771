/** Whatever dies, in whatever phase: the page's stream has every token once, and they are the undisturbed ones. */
import { REPLAY_RUNS_MAX } from "../../src/base/limits.ts";
import { HOLD_PHASES, type HoldPhase } from "../../src/protocol/host.ts";
import { type Browser, expect, type Page, test } from "./harness/fixtures.ts";
import { FAULTS, type Fault } from "./support/faults.ts";
import { HeldHost } from "./support/hold.ts";
import { eventsOf, expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";

/** The last run that is held: one more checkpoint comes after it, so that it can be held in that phase as well. */
const LAST_HELD_RUN = 44;

test.describe.configure({ timeout: 240_000 });

/** `npm test`: every fault once and every phase at least once; which with which, the seed says. */
const firstPhase = SEED % HOLD_PHASES.length;
for (const [index, fault] of FAULTS.entries()) {
  test(`${fault.name}: 64 of 64 tokens, each once`, async ({ browser, page }) => {
    await survive(browser, page, fault, HOLD_PHASES[(firstPhase + index) % HOLD_PHASES.length] as HoldPhase);
  });
}

/** `npm run test:long`: each with each. */
for (const fault of FAULTS) {
  for (const phase of HOLD_PHASES) {
    test(`${fault.name}, phase ${phase}: 64 of 64 tokens, each once @long`, async ({ browser, page }) => {
      await survive(browser, page, fault, phase);
    });
  }
}

async function survive(browser: Browser, page: Page, fault: Fault, phase: HoldPhase): Promise<void> {
  const random = randomFor(`${fault.name} ${phase}`);
  const run = wholeNumber(random, 1, LAST_HELD_RUN);
  const stage = wholeNumber(random, 0, 2);
  const reference = REFERENCE[wholeNumber(random, 0, REFERENCE.length - 1)] as (typeof REFERENCE)[number];
  console.log(`HOLDFAST_SEED=${SEED}: ${fault.name}, phase ${phase} of run ${run} in stage ${stage}`);

  const hostId = (await openMoby(page))[stage] as string;
  const fire = await fault.aim({ browser, page, hostId, phase });
  const held = await HeldHost.arm(browser, hostId, phase, run);
  const tokens = generate(page, reference.prompt);
  await held.reached();
  await fire();
  await held.release({ lost: fault.losesTab });

  expectUndisturbed(await tokens, reference);
  const recovered = await eventsOf(page, "recovered");
  if (fault.losesStages) expect(recovered.map((event) => event.stage)).toContain(stage);
  for (const { replayedRuns } of recovered) expect(replayedRuns).toBeLessThanOrEqual(REPLAY_RUNS_MAX);
  await release(page);
}

import { MODEL } from "./checks/decoder.ts";
import { statusOf } from "./checks/status.ts";
import { expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { underLoad } from "./harness/load.ts";

const BUSY_PROCESSES = 2;

/** Generates and idles in turns, with every phase of a host under load: opening, computing, waiting. */
async function workFor(page: Page, seconds: number): Promise<{ tokens: number; faults: number; rounds: number }> {
  return page.evaluateWithin(
    seconds * 1_000 + 200_000,
    async (model, ms) => {
      const pool = await window.holdfast.connect();
      let faults = 0;
      const session = await pool.createSession(model, {
        shards: 3,
        onEvent: ({ type }) => {
          if (type === "fault" || type === "recovering") faults++;
        },
      });
      const end = performance.now() + ms;
      let tokens = 0;
      let rounds = 0;
      while (performance.now() < end) {
        for await (const _ of session.generate([68, 390, 398], { maxNewTokens: 24 })) tokens++;
        await new Promise((resolve) => setTimeout(resolve, rounds++ % 2 === 0 ? 200 : 3_500));
      }
      await session.release();
      return { tokens, faults, rounds };
    },
    MODEL,
    seconds * 1_000,
  );
}

for (const { seconds, tag } of [
  { seconds: 15, tag: "" },
  { seconds: 60, tag: "@long " },
]) {
  test(`${tag}beside two busy processes no healthy host is declared dead in ${seconds} s`, async ({ launch, site }) => {
    test.setTimeout(seconds * 1_000 + 240_000);
    const browser = await launch();
    const page = await openConsentedPage(browser, site.origin);
    const { tokens, faults, rounds } = await underLoad(BUSY_PROCESSES, () => workFor(page, seconds));
    expect(tokens).toBe(rounds * 24);
    expect(rounds).toBeGreaterThan(0);
    expect(faults).toBe(0);
    expect((await statusOf(browser)).faults).toEqual([]);
  });
}

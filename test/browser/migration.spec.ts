/** Planned moves in a real browser: the page's stream goes on, and nothing is done twice. */
import { hostTargets } from "./checks/status.ts";
import { expect, test } from "./harness/fixtures.ts";
import { expectUndisturbed, openMoby, REFERENCE } from "./support/moby.ts";
import { launchConsented } from "./support/pages.ts";

const [CONTINUATION = { prompt: "", prompt_ids: [], ids: [] }] = REFERENCE;

test("each stage moves to another host in the middle of a generation: 64 of 64 tokens, no fault, no replay", async ({
  launch,
  site,
}) => {
  test.setTimeout(180_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const before = await openMoby(page, { shards: 2 });
  const { tokens, moved } = await page.evaluateWithin(
    120_000,
    async (prompt) => {
      const { session } = window.underTest;
      const pool = await window.holdfast.connect();
      const tokens: { index: number; id: number; text: string }[] = [];
      const moves: Promise<string>[] = [];
      for await (const token of session.generate(prompt, { maxNewTokens: 64 })) {
        tokens.push(token);
        const stage = [12, 30].indexOf(token.index);
        if (stage < 0) continue;
        await Promise.all(moves);
        const hostId = session.stages[stage]?.hostId ?? "";
        moves.push(pool.connectionPool.getBrowser(hostId).then((host) => host.migrate()));
      }
      return { tokens, moved: await Promise.all(moves) };
    },
    CONTINUATION.prompt,
  );
  expectUndisturbed(tokens, CONTINUATION);
  const { events, after } = await page.evaluate(() => ({
    events: window.underTest.events,
    after: window.underTest.session.stages.map(({ hostId }) => hostId),
  }));
  expect(after).toEqual(moved);
  expect(new Set([...before, ...after]).size).toBe(4);
  expect(events.filter(({ type }) => type === "fault" || type === "recovered")).toEqual([]);
  const phases = events.flatMap((event) => (event.type === "migration" ? [`${event.phase} ${event.stages}`] : []));
  expect(phases).toEqual(["begun 0", "done 0", "begun 1", "done 1"]);
  for (const gone of before)
    await expect.poll(async () => (await hostTargets(browser)).some((url) => url.includes(gone))).toBe(false);
  await page.evaluate(() => window.underTest.session.release());
});

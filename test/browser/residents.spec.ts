/** Beam search over handles of states that never leave their hosts: the same beams as plain onnxruntime-web finds. */
import { continuation, MODEL } from "./checks/decoder.ts";
import { expect, test } from "./harness/fixtures.ts";
import { installBeams } from "./support/beams.ts";
import { openSession, release } from "./support/moby.ts";

const STEPS = 8;

test.describe.configure({ timeout: 240_000 });

test("beam search of width 4 over handles equals plain onnxruntime-web, also with a host killed in the middle @long", async ({
  browser,
  page,
}) => {
  await installBeams(page);
  const [, second] = await openSession(page, MODEL, { shards: 2, executionProviders: ["wasm"] });
  const prompt = [...continuation(0).prompt_ids];
  const expected = await page.evaluateWithin(120_000, (...args) => window.beams.plain(...args), MODEL, prompt, STEPS);
  const search = () => page.evaluateWithin(120_000, (...args) => window.beams.resident(...args), prompt, STEPS);
  expect(await search()).toEqual(expected);

  const pid = await browser.processes.pidOfHost(second as string);
  const searched = search();
  await new Promise((resolve) => setTimeout(resolve, 200));
  browser.processes.kill(pid);
  expect(await searched).toEqual(expected);
  expect(await page.evaluate(() => window.underTest.events.some(({ type }) => type === "recovered"))).toBe(true);
  await release(page);
});

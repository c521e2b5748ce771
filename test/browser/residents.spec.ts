/** Beam search over handles of states that never leave their hosts: the same beams as plain onnxruntime-web finds. */
import { continuation, MODEL } from "./checks/decoder.ts";
import { expect, test } from "./harness/fixtures.ts";
import { installBeams } from "./support/beams.ts";
import { HeldHost } from "./support/hold.ts";
import { openSession, release } from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";
import { tensorBytesAfter } from "./support/tensor-bytes.ts";

const STEPS = 8;
/** The prompt, then four runs a step: four beams from one state at first, later from up to four. */
const RUNS_LEAST = 1 + STEPS;

test("beam search of width 4 over handles equals plain onnxruntime-web, also with a host killed in the middle, and leaves no byte behind", async ({
  browser,
  page,
}) => {
  test.setTimeout(240_000);
  await installBeams(page);
  const [, second = ""] = await openSession(page, MODEL, { shards: 2, executionProviders: ["wasm"] });
  const prompt = [...continuation(0).prompt_ids];
  const before = await tensorBytesAfter(page, prompt);
  expect(before).toBeGreaterThan(0);
  const expected = await page.evaluateWithin(120_000, (...args) => window.beams.plain(...args), MODEL, prompt, STEPS);
  expect(expected).toHaveLength(4);
  const search = () => page.evaluateWithin(120_000, (...args) => window.beams.resident(...args), prompt, STEPS);
  expect(await search()).toEqual(expected);

  const offset = wholeNumber(randomFor("beam search"), 1, RUNS_LEAST - 1);
  const at = (await page.evaluate(() => window.underTest.session.nextRun)) + offset;
  const pid = await browser.processes.pidOfHost(second);
  const held = await HeldHost.arm(browser, second, "answer", at);
  const searched = search();
  await held.reached();
  browser.processes.kill(pid);
  await held.release();
  expect(await searched, `HOLDFAST_SEED=${SEED}: killed ${offset} runs after the prompt`).toEqual(expected);
  expect(await page.evaluate(() => window.underTest.events.some(({ type }) => type === "recovered"))).toBe(true);
  expect(await tensorBytesAfter(page, prompt)).toBe(before);
  await release(page);
});

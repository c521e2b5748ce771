/** The service worker ends again and again, as browsers end idle ones, while tokens are made. */
import { installDecoder, MODEL } from "./checks/decoder.ts";
import { statusOf } from "./checks/status.ts";
import { expect, test } from "./harness/fixtures.ts";
import { eventsOf, openMoby, REFERENCE, release } from "./support/moby.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";

const TOKENS = 500;
const FOR_MS = 120_000;
const EVERY_MS = { least: 1_000, most: 5_000 };
const [{ prompt_ids, ids } = { prompt_ids: [], ids: [] }] = REFERENCE;

declare global {
  interface Window {
    streams: { readonly made: { index: number; id: number }[][]; stop: boolean; readonly end: Promise<void> };
  }
}

test("the service worker is stopped every 1–5 s for two minutes while 500 tokens are made, again and again: the same stream each time @long", async ({
  browser,
  page,
}) => {
  test.setTimeout(600_000);
  const random = randomFor("service worker");
  await installDecoder(page);
  await openMoby(page, { shards: 2 });
  const before = await statusOf(browser);
  await page.evaluate(
    (prompt, maxNewTokens) => {
      const made: { index: number; id: number }[][] = [];
      window.streams = { made, stop: false, end: Promise.resolve() };
      const all = async () => {
        while (!window.streams.stop) {
          const tokens: { index: number; id: number }[] = [];
          for await (const { index, id } of window.underTest.session.generate(prompt, { maxNewTokens }))
            tokens.push({ index, id });
          made.push(tokens);
        }
      };
      Object.assign(window.streams, { end: all() });
    },
    [...prompt_ids],
    TOKENS,
  );
  const end = performance.now() + FOR_MS;
  let stops = 0;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, wholeNumber(random, EVERY_MS.least, EVERY_MS.most)));
    await browser.stopServiceWorker();
    stops++;
  }
  const made = await page.evaluateWithin(240_000, async () => {
    window.streams.stop = true;
    await window.streams.end;
    return window.streams.made;
  });
  console.log(`HOLDFAST_SEED=${SEED}: ${stops} stops, ${made.length} streams of ${TOKENS} tokens`);
  expect(made.length).toBeGreaterThan(0);
  const [first = []] = made;
  expect(first.slice(0, ids.length).map(({ id }) => id)).toEqual([...ids]);
  for (const tokens of made) {
    expect(tokens.map(({ index }) => index)).toEqual(Array.from({ length: TOKENS }, (_, index) => index));
    expect(tokens).toEqual(first);
  }
  // Plain onnxruntime-web, given all of them at once, would have chosen each.
  const chosen = await page.evaluateWithin(
    240_000,
    async (model, prompt, taken) => {
      const [{ logits = new Float32Array() } = {}] = await window.decoder.plain(model, [[...prompt, ...taken]]);
      const size = logits.length / (prompt.length + taken.length);
      return taken.map((_, index) => {
        const row = logits.subarray((prompt.length - 1 + index) * size, (prompt.length + index) * size);
        return row.indexOf(row.reduce((a, b) => Math.max(a, b)));
      });
    },
    MODEL,
    [...prompt_ids],
    first.map(({ id }) => id),
  );
  expect(chosen).toEqual(first.map(({ id }) => id));
  // Nobody but the service worker was lost.
  const after = await statusOf(browser);
  const hostsOf = ({ hosts }: typeof after) => hosts.map(({ hostId, stage, attempt }) => ({ hostId, stage, attempt }));
  expect(hostsOf(after)).toEqual(hostsOf(before));
  expect(await eventsOf(page, "fault")).toEqual([]);
  await release(page);
});

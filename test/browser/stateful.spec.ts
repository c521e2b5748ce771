import { generate, inMemory } from "../models/generate/index.ts";
import { type ModelCase, type PostedFeeds, postedFeeds } from "./checks/models.ts";
import { expect, test } from "./harness/fixtures.ts";
import { randomFor, SEED, wholeNumber } from "./support/random.ts";
import { openStateful, playWith } from "./support/stateful.ts";
import { moby, range, silero } from "./support/stateful-models.ts";

/** Two caches: over the decoder's own tokens, which grows, and over the encoder's output, which the first run makes. */
function encoderDecoder(): ModelCase {
  const decoder = generate({ family: "t5", form: "two" }).parts.find(({ role }) => role === "decoder");
  const bytes = decoder === undefined ? undefined : inMemory(decoder).get("");
  if (decoder === undefined || bytes === undefined) throw new Error("a model without a decoder");
  const bound = Object.keys(decoder.stateBindings);
  const pick = (feeds: PostedFeeds, isWanted: (name: string) => boolean): PostedFeeds =>
    Object.fromEntries(Object.entries(feeds).filter(([name]) => isWanted(name)));
  const first = postedFeeds(decoder.feeds("first"));
  const next = range(23).map((past) => postedFeeds(decoder.feeds("next", { past: past + 4 })));
  return {
    model: { base64: Buffer.from(bytes).toString("base64") },
    steps: [first, ...next].map((feeds) => pick(feeds, (name) => !bound.includes(name))),
    initial: pick(first, (name) => bound.includes(name)),
    stateBindings: decoder.stateBindings,
    options: { shards: 1, stateBindings: decoder.stateBindings },
  };
}

/** How often a host is killed in the long run; `HOLDFAST_KILLS` asks for another number. */
const LONG = Number(process.env["HOLDFAST_KILLS"] ?? 100);

const MODELS = [
  ["silero VAD", silero],
  ["moby-llama", moby],
  ["an encoder–decoder with a cross-attention cache", encoderDecoder],
] as const;

for (const [name, model] of MODELS) {
  for (const [seeds, tag] of [
    [5, ""],
    [LONG, " @long"],
  ] as const) {
    test(`${name}, killed at a random run ${seeds} times, has the bits of undisturbed onnxruntime-web${tag}`, async ({
      browser,
      page,
    }) => {
      test.setTimeout(120_000 + seeds * 20_000);
      const wanted = model();
      await openStateful(page, wanted);
      const random = randomFor(name);
      for (let kill = 1; kill <= seeds; kill++) {
        const hosts = await page.evaluate(() => window.stateful.hosts());
        const stage = wholeNumber(random, 0, hosts.length - 1);
        const pid = await browser.processes.pidOfHost(hosts[stage] ?? "");
        const at = wholeNumber(random, 0, wanted.steps.length - 1);
        const difference = await playWith(page, at, () => browser.processes.kill(pid));
        expect(difference, `kill ${kill} of stage ${stage} after ${at} runs, seed ${SEED}`).toBeNull();
      }
      // A kill that nothing noticed would prove nothing.
      expect(await page.evaluate(() => window.stateful.recovered)).toBeGreaterThanOrEqual(seeds);
      await page.evaluate(() => window.stateful.release());
    });
  }
}

import { CONTINUATIONS, continuation, installDecoder, MODEL, stepsOf, TOKENIZER } from "./checks/decoder.ts";
import { expect, test } from "./harness/fixtures.ts";

test("all five greedy continuations of the reference come out of one session in three shards", async ({ page }) => {
  test.setTimeout(240_000);
  const results = await page.evaluateWithin(
    200_000,
    async (model, tokenizer, prompts) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 3, tokenizer });
      const all: { indexes: number[]; ids: number[]; text: string }[] = [];
      for (const prompt of prompts) {
        const result = { indexes: [] as number[], ids: [] as number[], text: "" };
        for await (const { index, id, text } of session.generate(prompt, { maxNewTokens: 64 })) {
          result.indexes.push(index);
          result.ids.push(id);
          result.text += text;
        }
        all.push(result);
      }
      await session.release();
      return all;
    },
    MODEL,
    TOKENIZER,
    CONTINUATIONS.map(({ prompt }) => prompt),
  );
  expect(results).toHaveLength(5);
  for (const [at, { prompt, ids, text }] of CONTINUATIONS.entries()) {
    expect(results[at]?.ids, prompt).toEqual(ids);
    expect(results[at]?.text, prompt).toBe(text);
    expect(results[at]?.indexes, prompt).toEqual(ids.map((_, index) => index));
  }
});

test("sampling with a seed gives the same tokens twice, and other tokens with another seed", async ({ page }) => {
  test.setTimeout(120_000);
  const sample = await page.evaluateWithin(
    100_000,
    async (model, tokenizer) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 2, tokenizer });
      const draw = async (seed: number) => {
        const ids: number[] = [];
        const options = { maxNewTokens: 24, temperature: 0.8, topK: 40, seed };
        for await (const { id } of session.generate("The white whale", options)) ids.push(id);
        return ids;
      };
      const drawn = { first: await draw(7), again: await draw(7), other: await draw(8) };
      await session.release();
      return drawn;
    },
    MODEL,
    TOKENIZER,
  );
  expect(sample.first).toHaveLength(24);
  expect(sample.again).toEqual(sample.first);
  expect(sample.other).not.toEqual(sample.first);
});

test("a stop id ends the generation and is its last token; leaving the loop early leaves the session usable", async ({
  page,
}) => {
  test.setTimeout(120_000);
  const { prompt_ids, ids } = continuation(0);
  const [stopped, left, whole] = await page.evaluate(
    async (model, prompt, stop) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 2 });
      const take = async (options: object, most: number) => {
        const taken: number[] = [];
        for await (const { id } of session.generate(prompt, options)) {
          taken.push(id);
          if (taken.length === most) break;
        }
        return taken;
      };
      const results = [await take({ stopIds: [stop] }, 64), await take({}, 3), await take({ maxNewTokens: 10 }, 64)];
      await session.release();
      return results;
    },
    MODEL,
    prompt_ids,
    ids[6] ?? 0,
  );
  expect(stopped).toEqual(ids.slice(0, ids.indexOf(ids[6] ?? 0) + 1));
  expect(left).toEqual(ids.slice(0, 3));
  expect(whole).toEqual(ids.slice(0, 10));
});

test("runs that are asked for at once are answered each with its own result, in order", async ({ page }) => {
  test.setTimeout(180_000);
  await installDecoder(page);
  const { difference, settled } = await page.evaluateWithin(
    150_000,
    async (model, steps) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 3 });
      const expected = await window.decoder.bound(session, steps);
      const order: number[] = [];
      let past = 0;
      // Every step before the first answer: the order of the calls is the order of the cache.
      const answers = steps.map((step, index) => {
        const integers = (values: readonly number[]) => ({
          type: "int64",
          dims: [1, values.length],
          data: BigInt64Array.from(values, BigInt),
        });
        const feeds = {
          input_ids: integers(step),
          attention_mask: integers(Array.from({ length: past + step.length }, () => 1)),
          position_ids: integers(step.map((_, at) => past + at)),
        };
        past += step.length;
        return session.run(feeds, { reset: index === 0 }).then((outputs) => {
          order.push(index);
          return { logits: outputs["logits"]?.data as Float32Array };
        });
      });
      const actual = await Promise.all(answers);
      await session.release();
      return { difference: window.decoder.difference(expected, actual), settled: order };
    },
    MODEL,
    // More than a session may have unanswered, so that some must wait for room.
    stepsOf(continuation(1), 40),
  );
  expect(difference).toBeNull();
  expect(settled).toEqual(settled.map((_, index) => index));
  expect(settled).toHaveLength(41);
});

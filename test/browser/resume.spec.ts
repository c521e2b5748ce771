/** What is left when everything but the disk is gone, and how a page goes on with it. */
import type { ResumeSessionOptions } from "../../src/page/resume.ts";
import type { Token } from "../../src/page/run-options.ts";
import { statusOf } from "./checks/status.ts";
import { type Browser, expect, type Page, test } from "./harness/fixtures.ts";
import { expectUndisturbed, generate, openMoby, REFERENCE, release } from "./support/moby.ts";
import { launchConsented, openPage } from "./support/pages.ts";
import { randomFor, wholeNumber } from "./support/random.ts";

declare global {
  interface Window {
    /** Tokens of the loop under way, and what it ended with. */
    loop: { readonly tokens: Token[]; end: string | null };
  }
}

const TOKENIZER = "/models/moby-llama/tokenizer.json";
const [CONTINUATION = { prompt: "", prompt_ids: [], ids: [] }] = REFERENCE;
const TOKENS = CONTINUATION.ids.length;

/** Begins a generation in the page and lets it run. */
function begin(page: Page, prompt: string): Promise<string> {
  return page.evaluate(
    (text, maxNewTokens) => {
      const { session } = window.underTest;
      window.loop = { tokens: [], end: null };
      void (async () => {
        try {
          for await (const token of session.generate(text, { maxNewTokens })) window.loop.tokens.push(token);
          window.loop.end = "ended";
        } catch (error) {
          window.loop.end = String(error);
        }
      })();
      return session.id;
    },
    prompt,
    TOKENS,
  );
}

function tokensSoFar(page: Page): Promise<Token[]> {
  return page.evaluate(() => window.loop.tokens);
}

async function reached(page: Page, count: number): Promise<Token[]> {
  await page.waitFor(`window.loop.tokens.length >= ${count} || window.loop.end !== null`, { everyMs: 5 });
  return tokensSoFar(page);
}

/** Takes a session up as `underTest`; the code of the error when it cannot. */
function resume(page: Page, id: string, options: ResumeSessionOptions = {}): Promise<string | null> {
  return page.evaluateWithin(
    120_000,
    async (sessionId, tokenizer, asked) => {
      const pool = await window.holdfast.connect();
      try {
        const session = await pool.resumeSession(sessionId, { tokenizer, ...asked });
        window.underTest = { session, events: [] };
        return null;
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    },
    id,
    TOKENIZER,
    options,
  );
}

/** The rest of the last generation, from an index on. */
function goOn(page: Page, fromIndex: number): Promise<Token[]> {
  return page.evaluateWithin(
    120_000,
    async (from) => {
      const tokens: Token[] = [];
      for await (const token of window.underTest.session.resumeGeneration({ fromIndex: from })) tokens.push(token);
      return tokens;
    },
    fromIndex,
  );
}

/** Ids, indexes and texts are those of a generation that nothing disturbed, and no stage computed otherwise. */
async function expectGoesOn(page: Page, before: readonly Token[], from: number): Promise<void> {
  const seen = before.slice(0, from);
  const rest = await goOn(page, from);
  const all = [...seen, ...rest];
  expectUndisturbed(all, CONTINUATION);
  // A generation from the start gives the texts to compare with.
  const again = await generate(page, CONTINUATION.prompt);
  expect(all).toEqual(again);
}

async function openAndBegin(page: Page): Promise<string> {
  await openMoby(page, { shards: 2 });
  return begin(page, CONTINUATION.prompt);
}

test("a browser that was killed at a random token is started again: the page resumes, and the stream goes on", async ({
  launch,
  site,
}, testInfo) => {
  test.setTimeout(300_000);
  const { browser: first, page } = await launchConsented(launch, site.origin);
  const id = await openAndBegin(page);
  const at = wholeNumber(randomFor(testInfo.title), 1, TOKENS - 4);
  const before = await reached(page, at);
  await first.kill();

  const second = await launch({ userDataDir: first.userDataDir });
  const again = await openPage(second, site.origin);
  expect(await resume(again, id), `killed at token ${at}`).toBeNull();
  await expectGoesOn(again, before, at);
  await release(again);
  expect((await statusOf(second)).sessions).toEqual([]);
});

test("a page that is reloaded in the middle of a generation resumes from index 0, without a download", async ({
  launch,
  site,
}) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const id = await openAndBegin(page);
  await reached(page, 20);
  const loads = site.requests("/models/moby-llama/onnx/model.onnx");
  const again = await reload(browser, page, site.origin);
  // A page needs not have stored the id.
  const listed = await again.evaluate(async () => (await window.holdfast.connect()).listSessions());
  expect(listed).toMatchObject([{ id, model: expect.stringContaining("model.onnx") }]);
  expect(await resume(again, id)).toBeNull();
  await expectGoesOn(again, [], 0);
  expect(site.requests("/models/moby-llama/onnx/model.onnx")).toBe(loads);
});

async function reload(browser: Browser, page: Page, origin: string): Promise<Page> {
  await page.close();
  return openPage(browser, origin);
}

test("a session has one owner: a second tab is told so, and of two that want it at once one gets it", async ({
  launch,
  site,
}) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const id = await openAndBegin(page);
  const tabs = await Promise.all([openPage(browser, site.origin), openPage(browser, site.origin)]);
  const [second, third] = tabs as [Page, Page];
  expect(await resume(second, id)).toBe("SESSION_IN_USE");
  expect(await resume(second, "no-such-session")).toBe("SESSION_UNKNOWN");
  expectUndisturbed(await reached(page, TOKENS), CONTINUATION);
  await page.close();
  const ends = await Promise.all([resume(second, id), resume(third, id)]);
  expect(ends.toSorted()).toEqual(["SESSION_IN_USE", null].toSorted());
  const winner = ends[0] === null ? second : third;
  await expectGoesOn(winner, [], 0);
});

test("another site's session cannot be told from one that never was", async ({ launch, site }) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  const id = await openAndBegin(page);
  const other = await openPage(browser, site.otherOrigin);
  const asked = other.evaluate(async (sessionId) => {
    const pool = await window.holdfast.connect();
    const refusal = async (wanted: string) => {
      const error = await pool.resumeSession(wanted).catch((reason: Error & { code: string }) => reason);
      return "code" in error ? `${error.code}: ${error.message}` : "resumed";
    };
    return { his: await refusal(sessionId), none: await refusal("nothing"), list: await pool.listSessions() };
  }, id);
  await browser.clickConsent();
  const { his, none, list } = await asked;
  expect(his).toMatch(/^SESSION_UNKNOWN/);
  expect(his).toBe(none);
  expect(list).toEqual([]);
});

test("a session whose model was deleted meanwhile says so, and stays", async ({ launch, site }) => {
  test.setTimeout(240_000);
  const { browser: first, page } = await launchConsented(launch, site.origin);
  const id = await openAndBegin(page);
  await reached(page, TOKENS);
  await first.kill();
  const second = await launch({ userDataDir: first.userDataDir });
  const inside = await second.newPage(second.extensionUrl("popup/popup.html"));
  await inside.evaluate(async () => {
    const { models } = (await chrome.runtime.sendMessage({ holdfast: "store", params: null })) as {
      models: { digests: string[] }[];
    };
    for (const { digests } of models)
      await chrome.runtime.sendMessage({ holdfast: "deleteModel", params: { digests } });
  });
  await inside.close();
  const again = await openPage(second, site.origin);
  expect(await resume(again, id)).toBe("MODEL_DELETED");
  expect((await statusOf(second)).sessions).toMatchObject([{ sessionId: id, status: "parked" }]);
});

test("a page that feeds runs itself goes on with the run after the durable one", async ({ launch, site }) => {
  test.setTimeout(240_000);
  const { browser, page } = await launchConsented(launch, site.origin);
  await openMoby(page, { shards: 2 });
  const ids = [...CONTINUATION.prompt_ids, ...CONTINUATION.ids];
  const { id, durable, told } = await page.evaluateWithin(
    120_000,
    async (all) => {
      const { session, events } = window.underTest;
      const int64 = (values: readonly number[]) => ({
        type: "int64",
        dims: [1, values.length],
        data: BigInt64Array.from(values, BigInt),
      });
      for (let at = 0; at < 20; at++)
        await session.run({
          input_ids: int64([all[at] as number]),
          attention_mask: int64(all.slice(0, at + 1).map(() => 1)),
          position_ids: int64([at]),
        });
      const reachedRun = await session.makeDurable();
      const last = events.findLast(({ type }) => type === "durable");
      return { id: session.id, durable: [reachedRun, session.durableRun, session.nextRun], told: last };
    },
    ids,
  );
  expect(durable).toEqual([19, 19, 20]);
  expect(told).toMatchObject({ type: "durable", run: 19 });
  const again = await reload(browser, page, site.origin);
  expect(await resume(again, id)).toBeNull();
  const token = await again.evaluate(async (all) => {
    const { session } = window.underTest;
    const int64 = (values: readonly number[]) => ({
      type: "int64",
      dims: [1, values.length],
      data: BigInt64Array.from(values, BigInt),
    });
    const from = session.nextRun;
    let last: unknown = null;
    for (let at = from; at < all.length - 1; at++)
      last = (
        await session.run({
          input_ids: int64([all[at] as number]),
          attention_mask: int64(all.slice(0, at + 1).map(() => 1)),
          position_ids: int64([at]),
        })
      )["logits"];
    const { dims, data } = last as { dims: readonly number[]; data: Float32Array };
    const logits = data.slice(-(dims.at(-1) as number));
    return { from, id: logits.indexOf(Math.max(...logits)) };
  }, ids);
  expect(token).toEqual({ from: 20, id: ids.at(-1) });
});

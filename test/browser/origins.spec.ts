/** What one site may not have of another, tried in every way that a page has: its handles, stored state, and logs. */
import { continuation, MODEL } from "./checks/decoder.ts";
import { installRejection } from "./checks/errors.ts";
import { statusOf } from "./checks/status.ts";
import { expect, openConsentedPage, type Page, test } from "./harness/fixtures.ts";
import { speakByHand } from "./support/by-hand.ts";
import { course, installCourse } from "./support/course.ts";
import { openSession } from "./support/moby.ts";
import { openPage } from "./support/pages.ts";

const { prompt_ids, ids } = continuation(0);
const TOKENS = [...prompt_ids, ...ids].slice(0, 24);

test.describe.configure({ timeout: 240_000 });

/** A step of a decoder with a bound cache, in the page. */
async function installStep(page: Page): Promise<void> {
  await page.evaluate(() => {
    const integers = (values: readonly number[]) => ({
      type: "int64",
      dims: [1, values.length],
      data: BigInt64Array.from(values, BigInt),
    });
    window.step = (past: number) => ({
      input_ids: integers([300]),
      attention_mask: integers(Array.from({ length: past + 1 }, () => 1)),
      position_ids: integers([past]),
    });
  });
}

declare global {
  interface Window {
    step(past: number): Record<string, { type: string; dims: number[]; data: BigInt64Array }>;
  }
}

test("a handle of another session, another site or nobody is refused by code, in a feed and as what a run goes on from", async ({
  browser,
  page,
  site,
}) => {
  await openSession(page, MODEL, { shards: 1, executionProviders: ["wasm"] });
  await installStep(page);
  // What leaves a page of a handle is a copy of what it says.
  const told = await page.evaluate(async () => {
    const { session } = window.underTest;
    const { state } = await session.run(window.step(0), { reset: true, keep: true });
    const { residents } = await session.run(window.step(1), { keep: ["logits"] });
    return JSON.parse(JSON.stringify([state, residents.logits])) as { run: number; output: string | null }[];
  });
  expect(told).toMatchObject([
    { run: 0, output: null },
    { run: 1, output: "logits" },
  ]);

  const other = await openConsentedPage(browser, site.otherOrigin);
  await installRejection(other);
  await openSession(other, MODEL, { shards: 1, executionProviders: ["wasm"] });
  await installStep(other);
  const ends = await other.evaluateWithin(
    120_000,
    async (model, copies) => {
      const { session } = window.underTest;
      const pool = await window.holdfast.connect();
      const second = await pool.createSession(model, { shards: 1, executionProviders: ["wasm"] });
      await session.run(window.step(0), { reset: true });
      const foreign = (await second.run(window.step(0), { reset: true, keep: true })).state;
      const foreignOutput = (await second.run(window.step(1), { keep: ["logits"] })).residents.logits;
      const own = (await session.run(window.step(1), { keep: true })).state;
      const prototype = Object.getPrototypeOf(own);
      const forged = copies.map((copy) => Object.assign(Object.create(prototype), copy));
      const [state, output] = copies as unknown[];
      const gone = (await session.run(window.step(2), { keep: true })).state;
      gone.dispose();
      const next = session.nextRun;
      const tried: Record<string, string> = {};
      const attempt = async (name: string, run: () => Promise<unknown>) => {
        const end = await window.rejection(run());
        tried[name] = end === null ? "answered" : end.typed ? end.code : `untyped: ${end.message}`;
      };
      const feeds = (input_ids: unknown) => ({ ...window.step(2), input_ids }) as ReturnType<typeof window.step>;
      const froms = { state, output, forged: forged[0], forgedOutput: forged[1], foreign, foreignOutput, gone };
      for (const [name, from] of Object.entries({ ...froms, text: "0", number: 0, nothing: null })) {
        await attempt(`from ${name}`, () => session.run(window.step(2), { from: from as never }));
        await attempt(`fed ${name}`, () => session.run(feeds(from)));
      }
      // Reads of what is none.
      for (const [name, each] of Object.entries({ forged: forged[0], gone }))
        await attempt(`read ${name}`, async () => (each as typeof gone).read());
      const sent = session.nextRun - next;
      const still = await session.run(window.step(2), { from: own });
      await second.release();
      return { tried, sent, logits: still["logits"]?.dims };
    },
    MODEL,
    told,
  );
  const refusals = Object.entries(ends.tried).filter(
    ([, code]) => !/^(HANDLE_UNKNOWN|BAD_FEEDS|BAD_OPTIONS)$/.test(code),
  );
  // A copy of a handle has not even its methods.
  expect(refusals).toEqual([["read forged", expect.stringMatching(/^untyped: Cannot read private member/)]]);
  expect(ends.tried).toMatchObject({
    "from state": "HANDLE_UNKNOWN",
    "from forged": "HANDLE_UNKNOWN",
    "fed forgedOutput": "HANDLE_UNKNOWN",
    "from foreign": "HANDLE_UNKNOWN",
    "fed foreignOutput": expect.stringMatching(/HANDLE_UNKNOWN|BAD_FEEDS/),
    "from gone": "HANDLE_UNKNOWN",
    "read gone": "HANDLE_UNKNOWN",
  });
  expect(ends).toMatchObject({ sent: 0, logits: [1, 1, 2048] });

  // A client library that a page has changed names keys that its own session never kept; those of others it cannot say.
  const lied = await other.evaluateWithin(
    60_000,
    async (run) => {
      const { session } = window.underTest;
      const { state } = await session.run(window.step(3), { keep: true });
      const { residents } = session as unknown as {
        residents: { keys: WeakMap<object, string>; kept: Map<string, number> };
      };
      residents.keys.set(state, String(run));
      residents.kept.set(String(run), 0);
      const refusal = await window.rejection(session.run(window.step(1), { from: state }));
      const after = await session.run(window.step(0), { reset: true });
      return { refusal, logits: after["logits"]?.dims };
    },
    100_000,
  );
  expect(lied).toMatchObject({ refusal: { typed: true }, logits: [1, 1, 2048] });

  // The first site's handles are as they were.
  const whole = await page.evaluate(async () => {
    const { session } = window.underTest;
    const again = await session.run(window.step(2));
    await session.release();
    return again["logits"]?.dims;
  });
  expect(whole).toEqual([1, 1, 2048]);
  await other.evaluate(() => window.underTest.session.release());
  await other.close();
});

test("stored state and logs of another site cannot be told from what never was, while its page lives and after", async ({
  launch,
  site,
}) => {
  const browser = await launch();
  const page = await openConsentedPage(browser, site.origin);
  await installCourse(page, TOKENS);
  const sessionId = await course.open(page, "own", 1);
  expect(await course.run(page, "own", 0, 12)).toBeNull();
  expect(await course.durable(page, "own")).toBe(11);
  const { hosts } = await statusOf(browser);
  const hostIds = hosts.map(({ hostId }) => hostId);

  const other = await openConsentedPage(browser, site.otherOrigin);
  await installRejection(other);
  const tried = async () => {
    const request = { promptIds: [1], prompt: null, maxNewTokens: 1, temperature: 0, topK: 0, seed: 0, stopIds: [] };
    const none = "11111111-2222-4333-8444-555555555555";
    const callsOf = (id: string, host: string) => [
      { method: "resume", params: { openId: "x", sessionId: id, tokenizer: null } },
      { method: "durable", params: { sessionId: id } },
      { method: "encode", params: { sessionId: id, text: "x" } },
      { method: "generate", params: { sessionId: id, base: 0, request, ids: [], from: 0 } },
      { method: "failHost", params: { hostId: host, signal: "gone" } },
      // What only the pool, or its popup, answers.
      { method: "attachSession", params: { sessionId: id } },
      { method: "releaseSession", params: { sessionId: id } },
      { method: "exportLog", params: null },
      { method: "status", params: null },
    ];
    const own = await other.evaluate(speakByHand, browser.extensionUrl(""), callsOf(sessionId, hostIds[0] ?? ""));
    const unknown = await other.evaluate(speakByHand, browser.extensionUrl(""), callsOf(none, none));
    const seen = await other.evaluateWithin(
      60_000,
      async (id, extension) => {
        const pool = await window.holdfast.connect();
        const manager = new window.holdfast.ResourcePoolRecoveryManager({ connectionPool: pool.connectionPool });
        await manager.initialize();
        const [bridge] = [...document.querySelectorAll("iframe")].filter(({ src }) => src.startsWith(extension));
        const reach = (work: () => unknown): string => {
          try {
            return `reached: ${work()}`;
          } catch (error) {
            return (error as Error).name;
          }
        };
        const inside = bridge?.contentWindow as (Window & typeof globalThis) | null | undefined;
        return {
          resumed: await window.rejection(pool.resumeSession(id)),
          list: await pool.listSessions(),
          log: JSON.stringify(await manager.stateManager.exportLog()),
          health: JSON.stringify([await pool.getHealthStatus(), await pool.getMetrics()]),
          databases: (await indexedDB.databases()).map(({ name }) => name),
          bridge: [reach(() => inside?.indexedDB), reach(() => inside?.document), reach(() => inside?.caches)],
        };
      },
      sessionId,
      browser.extensionUrl(""),
    );
    return { own, unknown, seen };
  };
  for (const moment of ["lives", "is gone"]) {
    const { own, unknown, seen } = await tried();
    expect(own, `while its page ${moment}`).toEqual(unknown);
    expect(own.map((answer) => ("error" in answer ? answer.error.code : answer.value))).toEqual([
      ...["SESSION_UNKNOWN", "SESSION_UNKNOWN", "SESSION_UNKNOWN", "SESSION_UNKNOWN", expect.any(String)],
      ...["INTERNAL", "INTERNAL", "INTERNAL", "INTERNAL"],
    ]);
    expect(seen).toMatchObject({ resumed: { typed: true, code: "SESSION_UNKNOWN" }, list: [], databases: [] });
    expect(seen.bridge).toEqual(["SecurityError", "SecurityError", "SecurityError"]);
    for (const secret of [sessionId, ...hostIds, site.origin]) expect(seen.log + seen.health).not.toContain(secret);
    if (moment === "lives") {
      expect(await course.run(page, "own", 12, 16)).toBeNull();
      expect(await course.durable(page, "own")).toBe(15);
      await page.close();
    }
  }
  await other.close();

  // Its own site has it, as it was.
  const again = await openPage(browser, site.origin);
  await installCourse(again, TOKENS);
  expect(await course.resume(again, "own", sessionId)).toBe(16);
  expect(await course.run(again, "own", 16, TOKENS.length)).toBeNull();
  await course.release(again, "own");
});

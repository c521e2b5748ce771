/** moby-llama as a page uses it, and what it must say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../src/demo/launch/setup.mjs";
import type { CreateSessionOptions } from "../../../src/page/pool.ts";
import type { Token } from "../../../src/page/run-options.ts";
import type { Session } from "../../../src/page/session.ts";
import type { SessionEvent } from "../../../src/protocol/events.ts";
import { expect, type Page } from "../harness/fixtures.ts";

declare global {
  interface Window {
    /** The session under test and all that it told. */
    underTest: { readonly session: Session; readonly events: SessionEvent[] };
  }
}

interface Continuation {
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly ids: readonly number[];
}

/** Greedy continuations of five prompts, made with PyTorch; 64 tokens each. */
export const REFERENCE: readonly Continuation[] = (
  JSON.parse(readFileSync(join(ROOT, "test/models/moby-llama/reference.json"), "utf8")) as {
    greedy: readonly Continuation[];
  }
).greedy;

export const MOBY = "/models/moby-llama/onnx/model.onnx";
const TOKENIZER = "/models/moby-llama/tokenizer.json";
/** Only a stream that stands still reaches it: machines that run tests may be slow. */
const STREAM_TIMEOUT_MS = 120_000;

/** Opens a session in the page as `underTest`. Returns the hosts of its stages, in order. */
export function openSession(page: Page, model: string, options: CreateSessionOptions): Promise<string[]> {
  return page.evaluate(
    async (url, asked) => {
      const pool = await window.holdfast.connect();
      const events: SessionEvent[] = [];
      const session = await pool.createSession(url, { ...asked, onEvent: (event) => void events.push(event) });
      window.underTest = { session, events };
      return session.stages.map(({ hostId }) => hostId);
    },
    model,
    options,
  );
}

/** As `openSession`, for generation: three shards at level medium, on the provider that gives the same bits again. */
export function openMoby(page: Page, options: CreateSessionOptions = {}): Promise<string[]> {
  return openSession(page, MOBY, {
    shards: 3,
    faultToleranceLevel: "medium",
    executionProviders: ["wasm"],
    tokenizer: TOKENIZER,
    ...options,
  });
}

/** What a page would write: no error handling, no copy of anything for the case of a fault. */
export function generate(page: Page, prompt: string): Promise<Token[]> {
  return page.evaluateWithin(
    STREAM_TIMEOUT_MS,
    async (text) => {
      const tokens: Token[] = [];
      for await (const token of window.underTest.session.generate(text, { maxNewTokens: 64 })) tokens.push(token);
      return tokens;
    },
    prompt,
  );
}

/** 64 of 64, none missing, none twice, in order. */
export function expectUndisturbed(tokens: readonly Token[], { ids }: Continuation): void {
  expect(tokens.map(({ index }) => index)).toEqual(ids.map((_, index) => index));
  expect(tokens.map(({ id }) => id)).toEqual([...ids]);
}

/** What the session told, of one type. */
export async function eventsOf<T extends SessionEvent["type"]>(
  page: Page,
  type: T,
): Promise<Extract<SessionEvent, { type: T }>[]> {
  const events = await page.evaluate(() => window.underTest.events);
  return events.filter((event): event is Extract<SessionEvent, { type: T }> => event.type === type);
}

export function release(page: Page): Promise<void> {
  return page.evaluate(() => window.underTest.session.release());
}

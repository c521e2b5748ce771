import type { Session } from "../../../src/page/index.ts";
import { type Browser, expect, type Page } from "../harness/fixtures.ts";
import { continuation, MODEL } from "./decoder.ts";
import { installRejection, type Rejection } from "./errors.ts";
import { Popup } from "./status.ts";

const TOKENS = 6;

declare global {
  interface Window {
    witness: {
      readonly session: Session;
      /** Settles with the error of `work` and with what the witness generated meanwhile. */
      during(work: () => Promise<unknown>): Promise<{ error: Rejection | null; ids: number[] }>;
    };
  }
}

/** A session beside the one that goes wrong, which must not notice. Sessions that other tests left are closed first. */
export async function installWitness(browser: Browser, page: Page): Promise<void> {
  const popup = await Popup.open(browser);
  for (const { sessionId } of (await popup.status()).sessions) await popup.call("closeSession", { sessionId });
  await popup.close();
  await installRejection(page);
  await page.evaluate(
    async (model, prompt, tokens) => {
      const pool = await window.holdfast.connect();
      const session = await pool.createSession(model, { shards: 1 });
      const generate = async () => {
        const ids: number[] = [];
        for await (const { id } of session.generate(prompt, { maxNewTokens: tokens })) ids.push(id);
        return ids;
      };
      window.witness = {
        session,
        during: async (work) => {
          const [error, ids] = await Promise.all([window.rejection(work()), generate()]);
          return { error, ids };
        },
      };
    },
    MODEL,
    continuation(0).prompt_ids,
    TOKENS,
  );
}

export interface Expected {
  readonly code: string;
  readonly category: string;
  readonly message: RegExp;
}

/** The error is typed, says what it should, and the witness generated what it always does. */
export function expectRejected(
  { error, ids }: { error: Rejection | null; ids: number[] },
  { code, category, message }: Expected,
  what: string,
): void {
  expect(error, what).toMatchObject({ typed: true, code, category });
  expect(error?.message, what).toMatch(message);
  // A sentence, not a word.
  expect(error?.message.split(/\s+/).length, what).toBeGreaterThanOrEqual(6);
  expect(ids, `${what}: the session beside it`).toEqual(continuation(0).ids.slice(0, TOKENS));
}

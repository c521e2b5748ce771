import { HoldfastError } from "../base/errors.ts";
import { NEW_TOKENS_MAX, PROMPT_CHARS_MAX } from "../base/limits.ts";
import type { GenerationRequest, KnownGeneration } from "../protocol/client.ts";
import type { GenerateOptions, Token } from "./run-options.ts";

/** A generation under way. The ids are the feeds of its runs: the library keeps them, the page's code need not. */
export interface Generation {
  readonly base: number;
  readonly request: GenerationRequest;
  promptIds: readonly number[] | null;
  readonly ids: number[];
  /** Ids of it that were known when it was taken up. */
  readonly known: readonly number[];
  /** The first index that the page's loop wants. */
  readonly from: number;
  readonly queue: TokenQueue;
  /** The page wants no more of it. */
  stopped: boolean;
}

export type BegunGeneration = Omit<Generation, "queue" | "stopped">;

/** Tokens between the driver that pushes them and the loop that takes them. */
export class TokenQueue implements AsyncIterable<Token> {
  private readonly tokens: Token[] = [];
  private wake: (() => void) | null = null;
  private done = false;
  private error: HoldfastError | null = null;

  push(token: Token): void {
    this.tokens.push(token);
    this.wake?.();
  }

  end(): void {
    this.done = true;
    this.wake?.();
  }

  /** The first end counts. */
  fail(error: HoldfastError): void {
    if (!this.done) this.error = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Token, void, undefined> {
    for (;;) {
      for (let token = this.tokens.shift(); token !== undefined; token = this.tokens.shift()) yield token;
      if (this.error !== null) throw this.error;
      if (this.done) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

/** @throws HoldfastError BAD_OPTIONS. */
export function requestOf(prompt: string | readonly number[], options: GenerateOptions): GenerationRequest {
  const { maxNewTokens = 64, temperature = 0, topK = 0, seed = 0, stopIds = [] } = options;
  const whole = (value: number, least: number, most: number): boolean =>
    Number.isInteger(value) && value >= least && value <= most;
  if (!whole(maxNewTokens, 1, NEW_TOKENS_MAX))
    throw new HoldfastError("BAD_OPTIONS", `maxNewTokens must be a whole number from 1 to ${NEW_TOKENS_MAX}.`);
  if (!(temperature >= 0) || !Number.isFinite(temperature))
    throw new HoldfastError("BAD_OPTIONS", "temperature must be a number of 0 or more.");
  if (!whole(topK, 0, 1_000_000) || !whole(seed, 0, 2 ** 32 - 1))
    throw new HoldfastError("BAD_OPTIONS", "topK and seed must be whole numbers of 0 or more.");
  if (typeof prompt === "string" && prompt.length > PROMPT_CHARS_MAX)
    throw new HoldfastError("BAD_OPTIONS", `The prompt is longer than ${PROMPT_CHARS_MAX} characters; shorten it.`);
  const text = typeof prompt === "string";
  return {
    prompt: text ? prompt : null,
    promptIds: text ? null : [...prompt],
    maxNewTokens,
    temperature,
    topK,
    seed,
    stopIds: [...stopIds],
  };
}

/** How a generation that is known goes on. @throws HoldfastError BAD_OPTIONS. */
export function continuationOf(known: KnownGeneration | null, fromIndex: number): BegunGeneration {
  if (known === null)
    throw new HoldfastError(
      "BAD_OPTIONS",
      "There is no generation to go on with, or other runs came after it; begin one with generate().",
    );
  const { head, promptIds, ids } = known;
  if (!Number.isInteger(fromIndex) || fromIndex < 0 || fromIndex > head.maxNewTokens)
    throw new HoldfastError("BAD_OPTIONS", `fromIndex must be a whole number from 0 to ${head.maxNewTokens}.`);
  const { base, runs: _, ...sampling } = head;
  const request = { ...sampling, prompt: null, promptIds };
  // Given to the driver, which says them again: it alone knows the texts.
  return { base, request, promptIds, known: ids, ids: ids.slice(0, fromIndex), from: fromIndex };
}

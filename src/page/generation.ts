import type { HoldfastError } from "../base/errors.ts";
import type { GenerationRequest } from "../protocol/client.ts";
import type { Token } from "./session.ts";

/** A generation under way. The ids are the feeds of its runs: the library keeps them, the page's code need not. */
export interface Generation {
  readonly base: number;
  readonly request: GenerationRequest;
  promptIds: readonly number[] | null;
  readonly ids: number[];
  readonly queue: TokenQueue;
  /** The page wants no more of it. */
  stopped: boolean;
}

/** Tokens between the driver that pushes them and the loop that takes them. */
export class TokenQueue implements AsyncIterable<Token> {
  private readonly tokens: Token[] = [];
  private wake: (() => void) | null = null;
  private done = false;
  private error: HoldfastError | null = null;
  private readonly waiters: (() => void)[] = [];

  push(token: Token): void {
    this.tokens.push(token);
    this.wake?.();
  }

  end(): void {
    this.done = true;
    for (const resolve of this.waiters.splice(0)) resolve();
    this.wake?.();
  }

  fail(error: HoldfastError): void {
    this.error = error;
    this.end();
  }

  /** Resolves when no more tokens will come. */
  async settled(): Promise<void> {
    if (!this.done) await new Promise<void>((resolve) => this.waiters.push(resolve));
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

import { HoldfastError } from "../base/errors.ts";
import type { KnownGeneration } from "../protocol/client.ts";
import type { DriverPeer } from "./bridge-connection.ts";
import { type BegunGeneration, type Generation, TokenQueue } from "./generation.ts";
import type { Token } from "./run-options.ts";

export interface GeneratingNeeds {
  readonly id: string;
  peer(): DriverPeer;
  /** The driver knows the session. */
  isAttached(): boolean;
  ack(run: number): void;
  /** It has used run numbers up to this one. */
  ended(generation: Generation, lastRun: number): void;
}

/** The generation under way in one session, and what is known of the last one. */
export class Generating {
  current: Generation | null = null;
  /** What `resumeGeneration` goes on with; null: there was none, or other runs came after it. */
  known: KnownGeneration | null = null;

  constructor(private readonly needs: GeneratingNeeds) {}

  /** Yields the tokens from index `from` on, each once, whatever dies meanwhile. */
  async *stream(begun: BegunGeneration, signal: AbortSignal | undefined): AsyncGenerator<Token, void, undefined> {
    const queue = new TokenQueue();
    const generation: Generation = { ...begun, queue, stopped: false };
    this.current = generation;
    // Nobody waits for the run that is under way: it may take as long as a recovery does.
    const stop = (): void => {
      if (this.current !== generation) return;
      generation.stopped = true;
      this.needs.peer().emit("stopGeneration", { sessionId: this.needs.id });
    };
    const abort = (): void => {
      stop();
      queue.fail(aborted(signal as AbortSignal));
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (this.needs.isAttached()) this.ask(generation);
    try {
      for await (const token of queue) {
        if (signal?.aborted) throw aborted(signal);
        yield token;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      stop();
    }
  }

  /** A new driver: it goes on with what the page has. */
  attached(peer: DriverPeer): void {
    if (this.current === null) return;
    this.ask(this.current);
    if (this.current.stopped) peer.emit("stopGeneration", { sessionId: this.needs.id });
  }

  prompt(base: number, promptIds: readonly number[]): void {
    if (this.current?.base === base) this.current.promptIds = promptIds;
  }

  token(base: number, token: Token): void {
    const generation = this.current;
    // A token that came before, from a driver that has died, comes again and is dropped.
    if (generation?.base !== base || token.index !== generation.ids.length) return;
    generation.ids.push(token.id);
    if (token.index >= generation.from) generation.queue.push(token);
    this.needs.ack(base + token.index);
  }

  fail(error: HoldfastError): void {
    this.current?.queue.fail(error);
    this.current = null;
  }

  private ask(generation: Generation): void {
    const { base, request, ids, known } = generation;
    const peer = this.needs.peer();
    const all = ids.length < known.length ? known : ids;
    peer.call("generate", { sessionId: this.needs.id, base, request, ids: [...all], from: ids.length }).then(
      ({ runs, error }) => this.ended(generation, runs, error === null ? null : HoldfastError.from(error)),
      (error: HoldfastError) => {
        if (!peer.isClosed) this.ended(generation, ids.length, error);
      },
    );
  }

  private ended(generation: Generation, runs: number, error: HoldfastError | null): void {
    if (this.current !== generation) return;
    this.current = null;
    const { base, request, promptIds, ids, queue } = generation;
    if (promptIds !== null) this.known = { head: { ...request, base, runs }, promptIds, ids };
    this.needs.ended(generation, base + runs - 1);
    if (error === null) queue.end();
    else queue.fail(error);
  }
}

export function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The run was aborted by the signal that it was given.", { cause: signal.reason });
}

export function busy(): HoldfastError {
  return new HoldfastError("SESSION_BUSY", "The session has work under way; wait for its end or open another session.");
}

import { HoldfastError } from "../base/errors.ts";

/** Holds new runs back while too much is under way. */
export class Room {
  private readonly waiting: (() => void)[] = [];

  /** `isFull` is asked again after every `look`. Resolves also when `signal` was aborted. */
  async wait(isFull: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    const wake = (): void => this.look();
    signal?.addEventListener("abort", wake, { once: true });
    while (!signal?.aborted && isFull()) await new Promise<void>((resolve) => this.waiting.push(resolve));
    signal?.removeEventListener("abort", wake);
  }

  look(): void {
    for (const resume of this.waiting.splice(0)) resume();
  }
}

export function busy(): HoldfastError {
  return new HoldfastError("SESSION_BUSY", "The session has work under way; wait for its end or open another session.");
}

export function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError("ABORTED", "The run was aborted by the signal that it was given.", { cause: signal.reason });
}

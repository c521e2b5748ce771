import type { HoldfastError } from "../base/errors.ts";
import type { Answer } from "./residents.ts";

interface Waiter {
  resolve(answer: Answer): void;
  reject(error: HoldfastError): void;
}

/** Runs that were asked for and have no answer yet, in order. */
export class Unanswered {
  private readonly waiting = new Map<number, Waiter>();

  get size(): number {
    return this.waiting.size;
  }

  /** null: there is none. */
  get oldest(): number | null {
    const { value, done } = this.waiting.keys().next();
    return done ? null : value;
  }

  /** Calls `abort` when the signal is aborted before the answer comes. */
  answer(run: number, signal: AbortSignal | undefined, abort: (signal: AbortSignal) => void): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => this.waiting.set(run, { resolve, reject }));
    const aborted = (): void => abort(signal as AbortSignal);
    signal?.addEventListener("abort", aborted, { once: true });
    return answer.finally(() => signal?.removeEventListener("abort", aborted));
  }

  answered(answer: Answer): void {
    const { run } = answer.head;
    this.waiting.get(run)?.resolve(answer);
    this.waiting.delete(run);
  }

  /** False: it was answered before. */
  failed(run: number, error: HoldfastError): boolean {
    this.waiting.get(run)?.reject(error);
    return this.waiting.delete(run);
  }

  fail(error: HoldfastError): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

import { assertNever } from "../base/errors.ts";
import { BREAKER_FAILURES, BREAKER_OPEN_MS, BREAKER_SUCCESSES } from "../base/limits.ts";

/** Whether work is given to what has failed before. Times are the clock's milliseconds. */
export type Breaker =
  /** It is; `failures`: in a row. */
  | { readonly state: "closed"; readonly failures: number }
  /** It is not, before `until`. */
  | { readonly state: "open"; readonly until: number }
  /** It is, on trial: one failure opens it again. */
  | { readonly state: "half_open"; readonly successes: number };

export type BreakerEvent = { readonly type: "failure" | "success"; readonly now: number };

export const CLOSED: Breaker = { state: "closed", failures: 0 };

/** What becomes of a breaker by itself: an open one whose time is over is half open. */
export function breakerAt(breaker: Breaker, now: number): Breaker {
  if (breaker.state !== "open") return breaker;
  // Nor does it stay open for longer because somebody set the clock back.
  const isOver = now >= breaker.until || now < breaker.until - BREAKER_OPEN_MS;
  return isOver ? { state: "half_open", successes: 0 } : breaker;
}

/** Decides and does nothing. */
export function nextBreaker(before: Breaker, { type, now }: BreakerEvent): Breaker {
  const breaker = breakerAt(before, now);
  const opened: Breaker = { state: "open", until: now + BREAKER_OPEN_MS };
  switch (breaker.state) {
    case "closed": {
      if (type === "success") return CLOSED;
      const failures = breaker.failures + 1;
      return failures >= BREAKER_FAILURES ? opened : { state: "closed", failures };
    }
    // What was begun before it opened says nothing of what is begun now.
    case "open":
      return breaker;
    case "half_open": {
      if (type === "failure") return opened;
      const successes = breaker.successes + 1;
      return successes >= BREAKER_SUCCESSES ? CLOSED : { state: "half_open", successes };
    }
    default:
      return assertNever(breaker);
  }
}

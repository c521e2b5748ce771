import { describe, expect, it } from "vitest";
import { BREAKER_FAILURES, BREAKER_OPEN_MS, BREAKER_SUCCESSES } from "../../../src/base/limits.ts";
import { type Breaker, breakerAt, CLOSED, nextBreaker } from "../../../src/fault/breaker.ts";
import { Random } from "../random.ts";

const OPEN: Breaker = { state: "open", until: 100 + BREAKER_OPEN_MS };
const trial = (successes: number): Breaker => ({ state: "half_open", successes });
const after = (breaker: Breaker, types: string, now = 100): Breaker =>
  [...types].reduce((at, type) => nextBreaker(at, { type: type === "f" ? "failure" : "success", now }), breaker);

describe("a circuit breaker", () => {
  it.each<[string, Breaker, string, number, Breaker]>([
    ["counts failures in a row", CLOSED, "ff", 100, { state: "closed", failures: 2 }],
    ["counts anew after a success", CLOSED, "ffffsf", 100, { state: "closed", failures: 1 }],
    ["opens after five", CLOSED, "fffff", 100, OPEN],
    ["stays open, whatever is still told", OPEN, "sssfff", 99 + BREAKER_OPEN_MS, OPEN],
    ["is on trial when its time is over", OPEN, "s", 100 + BREAKER_OPEN_MS, trial(1)],
    ["opens again at the first failure on trial", trial(2), "f", 100, OPEN],
    ["closes after three successes on trial", trial(0), "sss", 100, CLOSED],
  ])("%s", (_, before, types, now, expected) => {
    expect(after(before, types, now)).toEqual(expected);
  });
  it("is half open by the clock alone, and does not stay open because the clock was set back", () => {
    expect(breakerAt(OPEN, 99 + BREAKER_OPEN_MS)).toBe(OPEN);
    expect(breakerAt(OPEN, 100 + BREAKER_OPEN_MS)).toEqual(trial(0));
    expect(breakerAt(OPEN, 99)).toEqual(trial(0));
  });
  it("whatever happens, is never open for longer than its time, nor closed by fewer successes", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      let breaker: Breaker = CLOSED;
      let inARow = 0;
      for (let step = 0, now = 0; step < 60; step++, now += random.below(BREAKER_OPEN_MS / 2)) {
        const type = random.pick(["failure", "failure", "success"] as const);
        const before = breakerAt(breaker, now);
        breaker = nextBreaker(breaker, { type, now });
        inARow = type === "failure" ? inARow + 1 : 0;
        if (breaker.state === "open") expect(breaker.until - now).toBeLessThanOrEqual(BREAKER_OPEN_MS);
        if (before.state === "closed" && breaker.state === "open")
          expect(inARow).toBeGreaterThanOrEqual(BREAKER_FAILURES);
        if (before.state === "half_open" && breaker.state === "closed")
          expect(before.successes).toBe(BREAKER_SUCCESSES - 1);
      }
    }
  });
});

import { beforeEach, describe, expect, it } from "vitest";
import {
  FIRST_RUN_DEADLINE_MS,
  HANG_FLOOR_MS,
  KEEPER_TICK_MS,
  RUN_DEADLINE_FACTOR,
  RUN_TIMES_KEPT,
} from "../../../src/base/limits.ts";
import { HangDetector } from "../../../src/fault/hang-detector.ts";

let detector: HangDetector;
let now: number;

beforeEach(() => {
  detector = new HangDetector();
  now = 1_000_000;
  detector.tick(now);
});

/** Ticks for `ms`; what the detector said, and after how many milliseconds. */
function pass(ms: number, tickMs = KEEPER_TICK_MS): { after: number; verdict: string } | null {
  for (let after = tickMs; after <= ms; after += tickMs) {
    now += tickMs;
    const verdict = detector.tick(now);
    if (verdict !== null) return { after, verdict };
  }
  return null;
}

function run(number: number, shape: string, ms: number): ReturnType<typeof pass> {
  detector.runStarted(number, shape);
  const found = pass(ms);
  detector.runEnded();
  return found;
}

describe("an idle host", () => {
  it("is hung at its first tick beyond the limit of silence, not before", () => {
    expect(pass(60_000)).toEqual({
      after: HANG_FLOOR_MS + KEEPER_TICK_MS,
      verdict: `no sign of life for ${HANG_FLOOR_MS} ms`,
    });
  });

  it("is well for as long as it answers, however late within the limit", () => {
    for (let beat = 0; beat < 20; beat++) {
      expect(pass(HANG_FLOOR_MS)).toBeNull();
      detector.sign();
    }
  });
});

describe("a run", () => {
  it("may be silent: nobody asks it for heartbeats while it runs", () => {
    expect(run(0, "1x4", 3 * HANG_FLOOR_MS)).toBeNull();
  });

  it("has a long deadline while nothing ever ran, for kernels are compiled in it", () => {
    detector.runStarted(0, "1x4");
    const found = pass(2 * FIRST_RUN_DEADLINE_MS);
    expect(found?.after).toBe(FIRST_RUN_DEADLINE_MS + KEEPER_TICK_MS);
    expect(found?.verdict).toBe(`run 0 passed its deadline of ${FIRST_RUN_DEADLINE_MS} ms`);
  });

  it("is slow, not hung, within the factor of what its shape took before", () => {
    run(0, "1x4", 2_000);
    expect(run(1, "1x4", 2_000 * RUN_DEADLINE_FACTOR)).toBeNull();
  });

  it("is hung beyond that", () => {
    run(0, "1x4", 2_000);
    detector.runStarted(1, "1x4");
    expect(pass(60_000)?.after).toBe(2_000 * RUN_DEADLINE_FACTOR + KEEPER_TICK_MS);
  });

  it("has the floor as its deadline however fast its shape is", () => {
    for (let number = 0; number < 10; number++) run(number, "1x4", KEEPER_TICK_MS);
    detector.runStarted(10, "1x4");
    expect(pass(60_000)?.after).toBe(HANG_FLOOR_MS + KEEPER_TICK_MS);
  });

  it("has more time when its shape is new here", () => {
    run(0, "1x4", 2_000);
    expect(run(1, "1x512", 2_000 * RUN_DEADLINE_FACTOR * 2)).toBeNull();
  });

  it.each([
    ["no larger than others", "1x4", "4x1", 16_000],
    ["twice as large", "1x4", "1x8", 32_000],
    ["far larger, but never longer than a first run", "1x4", "1x1024", FIRST_RUN_DEADLINE_MS],
    ["far larger in one input alone", "1x4,1x1", "1x4,1x1024", FIRST_RUN_DEADLINE_MS],
  ])("has time by the size of a shape that is new here: %s", (_, known, unknown, deadlineMs) => {
    run(0, known, 1_000);
    detector.runStarted(1, unknown);
    expect(pass(2 * FIRST_RUN_DEADLINE_MS)?.after).toBe(deadlineMs + KEEPER_TICK_MS);
  });

  it("is of a known shape when a cache merely grew", () => {
    run(0, "1x5x64", 2_000);
    detector.runStarted(1, "1x8x64");
    expect(pass(60_000)?.after).toBe(2_000 * RUN_DEADLINE_FACTOR + KEEPER_TICK_MS);
  });

  it("forgets the times of long ago", () => {
    run(0, "1x4", 20_000);
    for (let number = 1; number <= RUN_TIMES_KEPT; number++) run(number, "1x4", KEEPER_TICK_MS);
    detector.runStarted(100, "1x4");
    expect(pass(120_000)?.after).toBe(HANG_FLOOR_MS + KEEPER_TICK_MS);
  });

  it("that ended leaves a host whose silence counts from then", () => {
    run(0, "1x4", 10_000);
    expect(pass(60_000)?.after).toBe(HANG_FLOOR_MS + KEEPER_TICK_MS);
  });

  it("that ends twice does no harm", () => {
    run(0, "1x4", 1_000);
    detector.runEnded();
    expect(pass(HANG_FLOOR_MS)).toBeNull();
  });
});

describe("a clock that jumps", () => {
  it.each([
    ["a sleep of eight hours", 8 * 3_600_000],
    ["a step forward", 10_000],
    ["a step backward", -3_600_000],
  ])("accuses nobody: %s", (_, jump) => {
    expect(pass(HANG_FLOOR_MS / 2)).toBeNull();
    now += jump;
    expect(detector.tick(now)).toBeNull();
    expect(pass(HANG_FLOOR_MS / 4)).toBeNull();
  });

  it.each([
    ["a sleep of eight hours", 8 * 3_600_000],
    ["a step backward", -3_600_000],
  ])("accuses no run: %s", (_, jump) => {
    detector.runStarted(0, "1x4");
    expect(pass(FIRST_RUN_DEADLINE_MS / 2)).toBeNull();
    now += jump;
    expect(pass(FIRST_RUN_DEADLINE_MS / 4)).toBeNull();
  });

  it("does not hide a host that is silent", () => {
    now -= 3_600_000;
    expect(pass(60_000)?.after).toBeLessThanOrEqual(HANG_FLOOR_MS + 2 * KEEPER_TICK_MS);
  });
});

describe("a detector that is starved", () => {
  it("accuses nobody of what it did not watch", () => {
    // One tick a second: in that time a healthy host has answered, and the answers wait in the queue behind the tick.
    expect(pass(10_000, 1_000)).toBeNull();
  });

  it("still finds a hung host, later", () => {
    expect(pass(120_000, 1_000)?.verdict).toContain("no sign of life");
  });
});

import { describe, expect, it } from "vitest";
import { FIRST_RUN_DEADLINE_MS, HANG_FLOOR_MS, KEEPER_TICK_MS } from "../../../src/base/limits.ts";
import { HangDetector } from "../../../src/fault/hang-detector.ts";
import { Random } from "../random.ts";

/** A detector with its clock: `pass` ticks as the keeper does, and says what was found wrong. */
class Watch {
  readonly detector = new HangDetector();
  now = 1_000_000;
  private run = 0;

  pass(ms: number, { alive = false, tickMs = KEEPER_TICK_MS } = {}): string | null {
    for (const until = this.now + ms; this.now < until; ) {
      this.now += tickMs;
      if (alive) this.detector.sign();
      const wrong = this.detector.tick(this.now);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  /** One run that takes so long and ends. */
  work(ms: number, shape = "1x4", options = {}): string | null {
    this.detector.runStarted(this.run++, shape);
    const wrong = this.pass(ms, options);
    this.detector.runEnded();
    return wrong;
  }
}

describe("a host without work", () => {
  it("that answers is well for as long as it answers", () => {
    expect(new Watch().pass(120_000, { alive: true })).toBeNull();
  });
  it("that falls silent is found within its limit, and not before", () => {
    const watch = new Watch();
    watch.pass(1_000, { alive: true });
    const since = watch.now;
    expect(watch.pass(60_000)).toMatch(/no sign of life/);
    expect(watch.now - since).toBeGreaterThan(HANG_FLOOR_MS - 2 * KEEPER_TICK_MS);
    expect(watch.now - since).toBeLessThan(HANG_FLOOR_MS + 4 * KEEPER_TICK_MS);
  });
});

describe("a run", () => {
  it("that is the first may take long: shaders are compiled in it", () => {
    expect(new Watch().work(FIRST_RUN_DEADLINE_MS - 1_000)).toBeNull();
  });
  it("that is the first and never ends is found as well", () => {
    expect(new Watch().work(10 * FIRST_RUN_DEADLINE_MS)).toMatch(/deadline/);
  });
  it("that is slower than usual is slow, not dead", () => {
    const watch = new Watch();
    for (let run = 0; run < 20; run++) watch.work(2_000);
    expect(watch.work(7_000)).toBeNull();
  });
  it("that never ends is found soon after runs of that shape were quick", () => {
    const watch = new Watch();
    for (let run = 0; run < 20; run++) watch.work(50);
    const since = watch.now;
    expect(watch.work(60_000)).toMatch(/passed its deadline/);
    expect(watch.now - since).toBeLessThan(HANG_FLOOR_MS + 200);
  });
  it("of a cache that grows by a row each time is no new shape", () => {
    const watch = new Watch();
    for (let row = 1; row < 200; row++) expect(watch.work(50, `1x1,1x4x${row}x8`)).toBeNull();
    const since = watch.now;
    expect(watch.work(60_000, "1x1,1x4x200x8")).toMatch(/deadline/);
    expect(watch.now - since).toBeLessThan(HANG_FLOOR_MS + 200);
  });
  it("of a prompt of a thousand tokens after single ones is given the time it needs", () => {
    const watch = new Watch();
    for (let run = 0; run < 50; run++) watch.work(25, "1x1,1x4x64x8");
    expect(watch.work(15_000, "1x1000,1x4x0x8")).toBeNull();
    expect(watch.work(10 * FIRST_RUN_DEADLINE_MS, "1x60000,1x4x0x8")).toMatch(/deadline/);
  });
});

describe("time that is not the host's fault", () => {
  it("a laptop that slept for an hour accuses nobody, idle or at work", () => {
    const watch = new Watch();
    watch.pass(1_000, { alive: true });
    watch.now += 3_600_000;
    expect(watch.pass(1_000)).toBeNull();
    for (let run = 0; run < 5; run++) watch.work(50);
    watch.detector.runStarted(9, "1x4");
    watch.pass(500);
    watch.now += 3_600_000;
    expect(watch.pass(1_000)).toBeNull();
  });
  it("a clock that is set back or forth accuses nobody", () => {
    for (const jump of [-86_400_000, 86_400_000, -1, 5_000]) {
      const watch = new Watch();
      watch.pass(1_000, { alive: true });
      watch.now += jump;
      expect(watch.pass(1_000)).toBeNull();
      expect(watch.pass(60_000)).toMatch(/no sign of life/);
    }
  });
  it("a detector that is itself starved accuses nobody that answers when it may", () => {
    const random = new Random(7);
    const watch = new Watch();
    for (let run = 0; run < 20; run++) watch.work(50);
    for (let beat = 0; beat < 200; beat++) {
      // Neither side was scheduled for some seconds; then both are, for a moment.
      watch.now += 500 + random.below(8_000);
      expect(watch.pass(200)).toBeNull();
      watch.detector.sign();
    }
  });
  it("a starved detector still finds a host that is dead", () => {
    const watch = new Watch();
    watch.pass(1_000, { alive: true });
    expect(watch.pass(600_000, { tickMs: 1_000 })).toMatch(/no sign of life/);
  });
});

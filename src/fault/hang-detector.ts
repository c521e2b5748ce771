import {
  FIRST_RUN_DEADLINE_MS,
  HANG_FLOOR_MS,
  KEEPER_TICK_MS,
  RUN_DEADLINE_FACTOR,
  RUN_TIMES_KEPT,
} from "../base/limits.ts";

/** A shape that was never run, in a host that ran others, may take this many times as long as the slowest of them. */
const UNKNOWN_SHAPE_FACTOR = 4;
/** Own time that one tick may account for: what is beyond it, the detector itself was not scheduled (sleep, load). */
const TICK_CREDIT_MS = 4 * KEEPER_TICK_MS;

/**
 * Tells a hung host from a slow one. Does no I/O: it is told signs of life and asked at each tick. Time is counted in
 * its own ticks, so that a sleeping laptop, a clock jump or a starved detector accuses nobody.
 */
export class HangDetector {
  private clock = 0;
  private lastTick: number | null = null;
  private lastSign = 0;
  private lastRun = 0;
  private current: { run: number; shape: string; since: number } | null = null;
  private readonly times = new Map<string, number[]>();
  /** Elements of each input's largest shape so far. */
  private readonly largest: number[] = [];

  /** Advances the own clock. Returns what is wrong, or null. */
  tick(now: number): string | null {
    const elapsed = this.lastTick === null ? 0 : Math.max(0, now - this.lastTick);
    this.lastTick = now;
    this.clock += Math.min(elapsed, TICK_CREDIT_MS);
    if (this.current !== null) {
      const limit = this.deadlineMs(this.current.shape);
      return this.clock - this.current.since > limit
        ? `run ${this.current.run} passed its deadline of ${Math.round(limit)} ms`
        : null;
    }
    return this.clock - this.lastSign > HANG_FLOOR_MS ? `no sign of life for ${HANG_FLOOR_MS} ms` : null;
  }

  /** Own time without a run; 0 in the middle of one. Milliseconds. */
  get idleMs(): number {
    return this.current === null ? this.clock - this.lastRun : 0;
  }

  sign(): void {
    this.lastSign = this.clock;
  }

  runStarted(run: number, shape: string): void {
    this.sign();
    this.current = { run, shape: bucket(shape), since: this.clock };
  }

  runEnded(): void {
    this.sign();
    if (this.current === null) return;
    const { shape, since } = this.current;
    this.current = null;
    this.lastRun = this.clock;
    for (const [input, size] of sizesOf(shape).entries())
      this.largest[input] = Math.max(size, this.largest[input] ?? 1);
    const times = this.times.get(shape) ?? [];
    times.push(this.clock - since);
    if (times.length > RUN_TIMES_KEPT) times.shift();
    this.times.set(shape, times);
  }

  /** Deadline of a run of this (bucketed) shape in milliseconds of own time. */
  private deadlineMs(shape: string): number {
    const own = this.times.get(shape);
    if (own !== undefined) return Math.max(HANG_FLOOR_MS, RUN_DEADLINE_FACTOR * percentile99(own));
    if (this.times.size === 0) return FIRST_RUN_DEADLINE_MS;
    const slowest = Math.max(...[...this.times.values()].map(percentile99));
    // A prompt of a thousand tokens after runs of one token each: some input is far larger than any before.
    const growth = Math.max(1, ...sizesOf(shape).map((size, input) => size / (this.largest[input] ?? size)));
    const usual = RUN_DEADLINE_FACTOR * UNKNOWN_SHAPE_FACTOR * slowest;
    return Math.max(HANG_FLOOR_MS, usual, Math.min(FIRST_RUN_DEADLINE_MS, usual * growth));
  }
}

/** Dimensions rounded up to powers of two: a cache that grows by a row is not a new shape each time. */
export function bucket(shape: string): string {
  return shape.replace(/\d+/g, (digits) => String(2 ** Math.ceil(Math.log2(Math.max(1, Number(digits))))));
}

/** Elements of each input of a shape such as "1x4x32,1x4". */
function sizesOf(shape: string): number[] {
  return shape
    .split(",")
    .map((dims) => dims.split("x").reduce((product, dim) => product * Math.max(1, Number(dim)), 1));
}

function percentile99(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? 0;
}

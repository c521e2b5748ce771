import { STAGE_TIMES_IDLE_MS, STAGE_TIMES_KEPT, STAGE_TIMES_WINDOWS_MS } from "../base/limits.ts";
import { medianOf } from "../history/statistics.ts";
import type { StageTimes } from "../protocol/host.ts";

/**
 * Gathers a stage's computation times into a few reports: at most one a second, and rarer the longer it works. Its host's
 * first run is left out: it compiles. Time is an argument, milliseconds of one clock.
 */
export class StageTimer {
  private times: number[] = [];
  private runs = 0;
  private windows = 0;
  private isWarm = false;
  private startedAt = 0;
  private lastAt = 0;

  constructor(private reportedAt: number) {}

  ran(ms: number, now: number): void {
    if (!this.isWarm) {
      this.isWarm = true;
      return;
    }
    if (this.runs === 0) this.startedAt = now;
    this.lastAt = now;
    this.times[this.runs++ % STAGE_TIMES_KEPT] = ms;
  }

  /** What is to be told now, if anything. */
  due(now: number): StageTimes | null {
    const [first] = STAGE_TIMES_WINDOWS_MS;
    if (this.runs === 0 || now - this.reportedAt < first) return null;
    const window = STAGE_TIMES_WINDOWS_MS[Math.min(this.windows, STAGE_TIMES_WINDOWS_MS.length - 1)] ?? first;
    const isOver = now - this.startedAt >= window || now - this.lastAt >= STAGE_TIMES_IDLE_MS;
    if (!isOver) return null;
    const { runs, times } = this;
    const report = {
      runs,
      medianMs: medianOf(times) ?? 0,
      minMs: Math.min(...times),
      maxMs: Math.max(...times),
    };
    this.times = [];
    this.runs = 0;
    this.windows++;
    this.reportedAt = now;
    return report;
  }
}

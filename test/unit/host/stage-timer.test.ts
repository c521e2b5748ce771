import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STAGE_TIMES_IDLE_MS, STAGE_TIMES_KEPT, STAGE_TIMES_WINDOWS_MS } from "../../../src/base/limits.ts";
import { StageTimer } from "../../../src/host/stage-timer.ts";

const [FIRST] = STAGE_TIMES_WINDOWS_MS;

/** A timer whose first run, which counts for nothing, is over. */
function warm(): StageTimer {
  const timer = new StageTimer(0);
  timer.ran(9_999, 1);
  return timer;
}

describe("computation times", () => {
  it("are told as runs, median, least and most, without the first, which compiles", () => {
    const timer = warm();
    for (const [at, ms] of [5, 1, 40].entries()) timer.ran(ms, 100 + at);
    expect(timer.due(FIRST + 1)).toEqual({ runs: 3, medianMs: 5, minMs: 1, maxMs: 40 });
    expect(timer.due(10 * FIRST)).toBeNull();
  });

  it("are told early when no more runs come, yet not within a second of the report before", () => {
    const timer = warm();
    timer.ran(2, 10);
    expect(timer.due(FIRST - 1)).toBeNull();
    expect(timer.due(FIRST)).toMatchObject({ runs: 1 });
    timer.ran(4, FIRST + 10);
    expect(timer.due(FIRST + 10 + STAGE_TIMES_IDLE_MS)).toBeNull();
    expect(timer.due(2 * FIRST)).toMatchObject({ runs: 1, medianMs: 4 });
  });

  it("are bounded, however many runs a window has", () => {
    const timer = warm();
    for (let run = 0; run < 3 * STAGE_TIMES_KEPT; run++) timer.ran(run, 10);
    const report = timer.due(FIRST);
    expect(report).toMatchObject({ runs: 3 * STAGE_TIMES_KEPT, minMs: 2 * STAGE_TIMES_KEPT });
    expect(report?.medianMs).toBe(2.5 * STAGE_TIMES_KEPT - 0.5);
  });

  it("of a host that never rests are told rarer and rarer, of any host at most once a second, and no run is lost", () => {
    const busy = warm();
    const reports: number[] = [];
    for (let now = 2; now < 120_000; now += 5) {
      busy.ran(1, now);
      if (busy.due(now) !== null) reports.push(now);
    }
    // At 1, 3, 8, 18, 48, 78 and 108 s.
    expect(reports.length).toBe(7);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 80 }), (gaps) => {
        const timer = new StageTimer(0);
        let [now, told, lastAt] = [0, 0, 0];
        const look = (): void => {
          const report = timer.due(now);
          if (report === null) return;
          expect(now - lastAt).toBeGreaterThanOrEqual(FIRST);
          lastAt = now;
          told += report.runs;
        };
        for (const gap of gaps) {
          now += gap;
          timer.ran(1, now);
          look();
        }
        now += 60_000;
        look();
        expect(told).toBe(Math.max(0, gaps.length - 1));
      }),
    );
  });
});

import { describe, expect, it } from "vitest";
import type { TrendDirection } from "../../../src/history/trends.ts";
import { History } from "./build.ts";

const ramp = (slope: number, from = 100, count = 20): number[] =>
  Array.from({ length: count }, (_, at) => from + slope * at);
/** Rises by 1.05 ms a run, which chance does every second time (p = 0.52). */
const NOISE = [181, 161, 111, 144, 108, 152, 119, 102, 137, 154, 198, 153, 115, 105, 177, 178, 197, 105, 148, 191];

describe("a trend", () => {
  it.each<[string, readonly number[], TrendDirection, number]>([
    ["slower by 1 ms a run", ramp(1), "degrading", 1],
    ["slower by 0.6 ms a run", ramp(0.6), "degrading", 0.6],
    ["slower by exactly the 0.5 ms that are allowed", ramp(0.5), "stable", 0.5],
    ["slower by too little, though certainly", ramp(0.4), "stable", 0.4],
    ["slower by 1.05 ms a run, but only by chance", NOISE, "stable", 1.05],
    ["faster by 2 ms a run", ramp(-2), "improving", 2],
    ["all the same", ramp(0), "stable", 0],
    // Ten ties and ten ties: S = 100, Var = 700, p = 0.0002. Of the 190 slopes 90 are 0, and the middle ones are 4/17.
    ["one step up, with ties", [...ramp(0, 10, 10), ...ramp(0, 14, 10)], "stable", 4 / 17],
    ["one step up by 10 ms, with ties", [...ramp(0, 10, 10), ...ramp(0, 20, 10)], "degrading", 10 / 17],
    ["steady but for two wild ones", ramp(0).with(3, 9_000).with(17, 12_000), "stable", 0],
  ])("of times that are %s", (_, durations, direction, magnitude) => {
    const trends = new History().times(durations).tracker.analyzePerformanceTrends();
    expect(trends.trendDirection).toBe(direction);
    expect(trends.trendMagnitude).toBeCloseTo(magnitude, 5);
    expect(trends.note).toBeNull();
  });

  it("compares the first ten with the last ten", () => {
    const { tracker } = new History().times([...ramp(0, 100, 10), ...ramp(7, 30, 5), ...ramp(0, 80, 10)]);
    expect(tracker.analyzePerformanceTrends()).toMatchObject({
      entriesAnalyzed: 25,
      avgDurationMs: (1_000 + 220 + 800) / 25,
      minDurationMs: 30,
      maxDurationMs: 100,
      successRate: 1,
      avgOldestDurationMs: 100,
      avgRecentDurationMs: 80,
      improvementRate: 0.2,
    });
  });

  it("of times that were all zero improves by nothing", () => {
    expect(new History().times(ramp(0, 0)).tracker.analyzePerformanceTrends()).toMatchObject({ improvementRate: 0 });
  });

  it("needs twenty operations, and says so with fewer", () => {
    const { tracker } = new History().times(ramp(5, 100, 19));
    expect(tracker.analyzePerformanceTrends()).toEqual({
      entriesAnalyzed: 19,
      avgDurationMs: 145,
      minDurationMs: 100,
      maxDurationMs: 190,
      successRate: 1,
      trendDirection: null,
      trendMagnitude: null,
      improvementRate: null,
      avgRecentDurationMs: null,
      avgOldestDurationMs: null,
      note: "A trend needs 20 successful operations with a measured time; there are 19.",
    });
  });

  it("of nothing has no number at all", () => {
    expect(new History().tracker.analyzePerformanceTrends()).toMatchObject({
      entriesAnalyzed: 0,
      avgDurationMs: null,
      minDurationMs: null,
      maxDurationMs: null,
      successRate: null,
      trendDirection: null,
    });
  });

  it("of failures only has a success rate of 0 and no times", () => {
    const { tracker } = new History().times(ramp(3, 100, 30), { status: "failed" });
    expect(tracker.analyzePerformanceTrends()).toMatchObject({
      entriesAnalyzed: 30,
      successRate: 0,
      avgDurationMs: null,
      trendDirection: null,
    });
  });

  it("counts running and aborted operations for nothing", () => {
    const { tracker } = new History()
      .times(ramp(1))
      .times(ramp(0, 5, 30), { status: "running" })
      .times(ramp(0, 5, 30), { status: "aborted" });
    expect(tracker.analyzePerformanceTrends()).toMatchObject({
      entriesAnalyzed: 20,
      successRate: 1,
      trendMagnitude: 1,
    });
  });

  it("is of the model, browser type and operation that were asked for", () => {
    const { tracker } = new History()
      .times(ramp(2), { model: "a" })
      .times(ramp(-2), { model: "b" })
      .times(ramp(0), { model: "a", type: "edge" })
      .times(ramp(9), { model: "a", operation: "load" });
    const direction = (query: object) => tracker.analyzePerformanceTrends(query).trendDirection;
    expect(direction({ modelName: "a", browserType: "chrome", operationType: "inference" })).toBe("degrading");
    expect(direction({ modelName: "b" })).toBe("improving");
    expect(direction({ modelName: "a", browserType: "edge" })).toBe("stable");
    expect(tracker.analyzePerformanceTrends({ operationType: "load" }).trendMagnitude).toBe(9);
  });

  it("looks back an hour, or as far as it is told", () => {
    const history = new History().times(ramp(1));
    history.now += 2 * 3_600_000;
    history.times([7, 9]);
    expect(history.tracker.analyzePerformanceTrends()).toMatchObject({ entriesAnalyzed: 2, avgDurationMs: 8 });
    expect(history.tracker.analyzePerformanceTrends({ timeWindowMs: 3 * 3_600_000 }).entriesAnalyzed).toBe(22);
  });

  it("follows the order of recording when the clock is set back by some minutes, and forgets what a wrong clock wrote", () => {
    const history = new History().times(ramp(1, 100, 10));
    history.now -= 600_000;
    history.times(ramp(1, 110, 10));
    expect(history.tracker.analyzePerformanceTrends()).toMatchObject({ entriesAnalyzed: 20, trendMagnitude: 1 });
    history.now -= 365 * 86_400_000;
    expect(history.tracker.analyzePerformanceTrends().entriesAnalyzed).toBe(0);
  });

  it("is told from the newest two hundred, for every pair of them is looked at", () => {
    const { tracker } = new History().times(ramp(-5, 5_000, 700)).times(ramp(1, 100, 200));
    expect(tracker.analyzePerformanceTrends({ timeWindowMs: Number.MAX_VALUE })).toMatchObject({
      entriesAnalyzed: 900,
      trendDirection: "degrading",
      avgOldestDurationMs: 104.5,
    });
  });
});

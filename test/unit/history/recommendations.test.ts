import { describe, expect, it } from "vitest";
import { performanceRecommendations } from "../../../src/history/recommendations.ts";
import { History, type Row } from "./build.ts";

const TYPES = ["chrome", "firefox", "edge"];
const rows = (count: number, row: Row): Row[] => Array.from({ length: count }, () => row);

describe("the recommended browser type", () => {
  it.each<[string, readonly Row[], string | null, number, RegExp]>([
    ["the fastest", [...rows(10, { ms: 50 }), ...rows(10, { ms: 20, type: "edge" })], "edge", 1, /soonest of 2/],
    [
      // 20 ms that fail every other time cost 40, and 30 ms are sooner.
      "not the fastest, if it fails too often",
      [...rows(10, { ms: 20 }), ...rows(10, { status: "failed" }), ...rows(10, { ms: 30, type: "firefox" })],
      "firefox",
      1,
      /100\.0% successful/,
    ],
    [
      "the fastest, if it fails seldom",
      [...rows(19, { ms: 20 }), ...rows(1, { status: "failed" }), ...rows(10, { ms: 30, type: "firefox" })],
      "chrome",
      0.95,
      /95\.0% successful/,
    ],
    [
      "the only one with a history",
      rows(4, { ms: 9, type: "firefox" }),
      "firefox",
      0.4,
      /^Only firefox .* 4 operations/,
    ],
    ["the only one with a single operation", rows(1, { ms: 9 }), "chrome", 0.1, /over 1 operation\./],
    [
      "of equals the one that is known better",
      [...rows(2, { ms: 5 }), ...rows(3, { ms: 5, type: "edge" })],
      "edge",
      0.3,
      /soonest/,
    ],
    [
      "of full equals the first of the caller's",
      [...rows(2, { ms: 5, type: "edge" }), ...rows(2, { ms: 5 })],
      "chrome",
      0.2,
      /soonest/,
    ],
    ["none without a history", [], null, 0, /no history of chrome, firefox, edge/],
    ["none while all still run", rows(5, { status: "running" }), null, 0, /no history/],
    [
      "none after failures only",
      rows(5, { status: "failed" }),
      null,
      0,
      /No operation of chrome .* firefox, edge was never tried/,
    ],
    [
      "none after failures everywhere",
      TYPES.flatMap((type) => rows(3, { status: "failed", type })),
      null,
      0,
      /No operation of chrome, firefox, edge succeeded with a measured time\.$/,
    ],
    [
      "one that is available",
      [...rows(10, { ms: 1, type: "opera" }), ...rows(10, { ms: 50 })],
      "chrome",
      1,
      /Only chrome/,
    ],
  ])("is %s", (_, history, expected, confidence, reason) => {
    const { tracker } = new History().record(...history);
    const found = tracker.recommendBrowserType({ availableTypes: TYPES });
    expect(found.recommendedType).toBe(expected);
    expect(found.confidence).toBeCloseTo(confidence, 12);
    expect(found.reason).toMatch(reason);
  });

  it("is none where no type is available", () => {
    const found = new History().record({ ms: 1 }).tracker.recommendBrowserType({ availableTypes: [] });
    expect(found).toMatchObject({ recommendedType: null, reason: "No browser type is available." });
  });

  it("comes with its evidence: success rates are over all that finished, running ones are in none", () => {
    const { tracker } = new History()
      .record({ ms: 10 }, { ms: 30 }, { ms: 500, status: "failed" }, { ms: 20, status: "recovered" })
      .record({ status: "running" }, { status: "failed", type: "firefox" });
    expect(
      tracker.recommendBrowserType({ modelName: "m", operationType: "inference", availableTypes: TYPES }),
    ).toMatchObject({
      recommendedType: "chrome",
      avgDurations: { chrome: 20 },
      successRates: { chrome: 0.75, firefox: 0 },
      sampleCounts: { chrome: 4, firefox: 1, edge: 0 },
    });
  });

  it("is of the model and operation that were asked for", () => {
    const { tracker } = new History()
      .times([10], { model: "a" })
      .times([1], { model: "b", type: "edge" })
      .times([1], { model: "a", type: "edge", operation: "load" });
    const of = (query: object) => tracker.recommendBrowserType({ ...query, availableTypes: TYPES }).recommendedType;
    expect(of({ modelName: "a", operationType: "inference" })).toBe("chrome");
    expect(of({ modelName: "b" })).toBe("edge");
    expect(of({ modelName: "c" })).toBeNull();
  });
});

describe("recommendations", () => {
  const ramp = (slope: number): number[] => Array.from({ length: 20 }, (_, at) => 100 + slope * at);

  it("are the seed's, in its keys and units", () => {
    const history = new History()
      .times(ramp(1.2), { model: "bert-base-uncased", type: "edge" })
      .record(...rows(17, { ms: 10, type: "firefox" }), ...rows(3, { status: "failed", type: "firefox" }));
    expect(performanceRecommendations(history.tracker, 1_620_000_000_123)).toEqual({
      recommendations: {
        "model_bert-base-uncased": {
          issue: "degrading_performance",
          description: "Performance for model bert-base-uncased is degrading significantly",
          trend_magnitude: expect.closeTo(1.2, 9),
          recommendation: "Consider browser type change or hardware upgrade",
        },
        browser_firefox: {
          issue: "high_failure_rate",
          description: "Browser type firefox has a high failure rate (15.0%)",
          failure_rate: 0.15,
          recommendation: "Consider using a different browser type",
        },
      },
      recommendation_count: 2,
      based_on_entries: 40,
      generation_time: 1_620_000_000.123,
    });
  });

  it("name a slow operation", () => {
    const { tracker } = new History()
      .times([900, 1_102], { operation: "load" })
      .times([1_000], { operation: "recovery" });
    const { recommendations } = performanceRecommendations(tracker, 0);
    expect(recommendations).toMatchObject({ operation_load: { issue: "slow_operation", avg_duration_ms: 1_001 } });
    // Exactly at the threshold is not over it.
    expect(Object.keys(recommendations)).toEqual(["operation_load"]);
  });

  it.each<[string, readonly Row[]]>([
    ["nothing", []],
    ["what still runs", rows(50, { status: "running" })],
    ["a failure rate of exactly a tenth", [...rows(9, { ms: 1 }), { status: "failed" }]],
    ["aborted operations", [...rows(1, { ms: 1 }), ...rows(50, { status: "aborted" })]],
    [
      "nineteen slower and slower operations",
      ramp(9)
        .slice(1)
        .map((ms) => ({ ms })),
    ],
  ])("are none for %s", (_, history) => {
    const { tracker } = new History().record(...history);
    const found = performanceRecommendations(tracker, 5_000);
    expect(found).toMatchObject({ recommendations: {}, recommendation_count: 0, generation_time: 5 });
    expect(found.based_on_entries).toBe(history.filter(({ status }) => !/running|aborted/.test(status ?? "")).length);
  });

  it("take loads and runs of a model apart: between the two there is no trend", () => {
    const { tracker } = new History().times(ramp(0)).times(
      ramp(0).map((ms) => ms + 700),
      { operation: "load" },
    );
    expect(performanceRecommendations(tracker, 0).recommendations).toEqual({});
    const worse = new History().times(ramp(1)).times(ramp(4), { operation: "load" });
    expect(performanceRecommendations(worse.tracker, 0).recommendations).toMatchObject({
      model_m: { trend_magnitude: 4 },
    });
  });
});

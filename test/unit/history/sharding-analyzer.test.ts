import { describe, expect, it } from "vitest";
import { ModelShardingAnalyzer } from "../../../src/history/sharding-analyzer.ts";
import { History, type Row } from "./build.ts";

/** Measurements of each stage, milliseconds. */
function runs(...stages: readonly (readonly number[])[]): Row[] {
  const shards = stages.length;
  return stages.flatMap((times, stage) => times.map((ms) => ({ ms, metrics: { stage, shards } })));
}
const ONE = runs([30, 30, 30]);
const TWO = runs([10, 12, 14], [20, 20, 20]);
const THREE = runs([11, 11, 11], [11, 11, 11], [11, 11, 11]);

describe("the recommended number of shards", () => {
  it.each<[string, readonly Row[], boolean, number | null, RegExp]>([
    [
      "has the shortest way through all stages",
      [...ONE, ...TWO, ...THREE],
      false,
      1,
      /1 shards .* 30\.0 ms.* 2 32\.0 ms/,
    ],
    ["has the shortest slowest stage in a pipeline", [...ONE, ...TWO, ...THREE], true, 3, /3 shards .* 11\.0 ms/],
    ["is of equals the smallest", [...runs([20, 20, 20]), ...runs([8, 8, 8], [12, 12, 12])], false, 1, /20\.0 ms/],
    ["is none where nothing was measured", [], false, null, /nothing was measured/],
    ["is none where one number was measured", TWO, false, null, /at least two .* \(2 shards: 3\)/],
    [
      "is none where another was measured too seldom",
      [...ONE, ...runs([1, 1, 1], [1, 1])],
      false,
      null,
      /1 shards: 3, 2 shards: 2/,
    ],
    ["is none where a stage of it was never measured", [...ONE, ...runs([1, 1, 1], [])], false, null, /2 shards: 0/],
    [
      "counts no failures",
      [...ONE, ...TWO.map((row) => ({ ...row, status: "failed" as const }))],
      false,
      null,
      /2 shards: 0/,
    ],
    ["counts no other model", [...ONE, ...TWO.map((row) => ({ ...row, model: "n" }))], false, null, /\(1 shards: 3\)/],
    ["counts no loads", [...ONE, ...TWO.map((row) => ({ ...row, operation: "load" }))], false, null, /\(1 shards: 3\)/],
  ])("%s", (_, rows, pipelined, expected, reason) => {
    const analyzer = new ModelShardingAnalyzer(new History().record(...rows).tracker);
    const found = analyzer.recommendShardCount("m", { pipelined });
    expect(found.recommendedShards).toBe(expected);
    expect(found.reason).toMatch(reason);
  });

  it("comes with what was measured", () => {
    const analyzer = new ModelShardingAnalyzer(new History().record(...TWO, ...ONE).tracker);
    expect(analyzer.recommendShardCount("m").measured).toEqual([
      { shards: 1, latencyMs: 30, slowestStageMs: 30, samples: 3 },
      { shards: 2, latencyMs: 32, slowestStageMs: 20, samples: 3 },
    ]);
  });
});

it("analyzes trends of the same history", () => {
  const history = new History().times(Array.from({ length: 20 }, (_, at) => 100 + at));
  const analyzer = new ModelShardingAnalyzer(history.tracker);
  expect(analyzer.analyzePerformanceTrends({ modelName: "m" })).toEqual(
    history.tracker.analyzePerformanceTrends({ modelName: "m" }),
  );
  expect(analyzer.analyzePerformanceTrends().trendDirection).toBe("degrading");
});

import { describe, expect, it } from "vitest";
import { planModel } from "../../../src/host/plan-model.ts";
import type { SessionOptions } from "../../../src/protocol/options.ts";
import type { PlanningInput, StageMeasurement } from "../../../src/protocol/planning.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import type { ShardPlan } from "../../../src/shard/types.ts";
import { readerOf } from "../shard/models.ts";
import { hostOf, unevenModel } from "../shard/strategies/uneven.ts";

const skeleton = readSkeleton(readerOf(unevenModel()));
const HOSTS = [hostOf("chrome", 1), hostOf("chrome", 1)];
const NOTHING: PlanningInput = { hosts: [], evidence: [], families: [], stages: [] };
const ASKED: SessionOptions = { ...parseSessionOptions({ shards: 2 }), shardingStrategy: "balanced" };

function measured(plan: ShardPlan, times: readonly number[], more: Partial<StageMeasurement> = {}): StageMeasurement[] {
  return plan.stages.map(({ weightBytes }, stage) => ({
    ...{ shards: plan.shards.length, stage, weightBytes, browserType: "chrome", provider: "wasm" },
    ...{ ms: times[stage] ?? 0, samples: 9, ...more },
  }));
}

describe("a model is cut", () => {
  const plan = planModel(skeleton, ASKED, { ...NOTHING, hosts: HOSTS });
  const [before = 0] = plan.cuts.map(({ place }) => place);
  const placeWith = (stages: readonly StageMeasurement[]): number =>
    planModel(skeleton, ASKED, { ...NOTHING, hosts: HOSTS, stages }).cuts[0]?.place ?? 0;
  const estimated = plan.stages.map(({ estimatedMs }) => estimatedMs);
  const [first = 0, second = 0] = estimated;

  it("as asked for where nothing is known", () => {
    const blind = planModel(skeleton, ASKED, NOTHING);
    expect(blind.shards).toHaveLength(2);
    expect(blind.strategy).toBe("balanced");
    expect(planModel(skeleton, { ...ASKED, shards: null }, NOTHING).shards).toHaveLength(1);
  });

  it("earlier, where the first stage took longer than was thought, and later, where the second did", () => {
    expect(placeWith(measured(plan, [10 * first, second]))).toBeLessThan(before);
    expect(placeWith(measured(plan, [first, 10 * second]))).toBeGreaterThan(before);
  });

  it("where it was, when it took what was thought", () => {
    expect(placeWith(measured(plan, estimated))).toBe(before);
  });

  it.each<[string, Partial<StageMeasurement>]>([
    ["of another plan", { weightBytes: 7 }],
    ["of more shards", { shards: 3 }],
    ["on another browser", { browserType: "edge" }],
    ["on another provider", { provider: "webgpu" }],
  ])("unmoved by times %s", (_, other) => {
    expect(placeWith(measured(plan, [10 * first, second], other))).toBe(before);
  });

  it("for the browser that history speaks for", () => {
    const hosts = [hostOf("chrome", 1), hostOf("edge", 1)];
    const evidence = (chromeMs: number, edgeMs: number) => [
      { browserType: "chrome", samples: 90, avgDurationMs: chromeMs, successRate: 1 },
      { browserType: "edge", samples: 90, avgDurationMs: edgeMs, successRate: 1 },
    ];
    const asked: SessionOptions = { ...ASKED, shards: 1, shardingStrategy: "browser_optimized" };
    const browserOf = (input: PlanningInput) => planModel(skeleton, asked, input).stages[0]?.host?.browserType;
    expect(browserOf({ ...NOTHING, hosts, evidence: evidence(100, 1) })).toBe("edge");
    expect(browserOf({ ...NOTHING, hosts, evidence: evidence(1, 100) })).toBe("chrome");
  });
});

import { describe, expect, it } from "vitest";
import type { BrowserEvidence } from "../../../src/shard/host-profile.ts";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { expectation, strongAt } from "../../../src/shard/strengths.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";
import { hostOf } from "./strategies/uneven.ts";

const of = (browserType: string, samples: number, avgDurationMs: number | null, successRate = 1): BrowserEvidence => ({
  browserType,
  samples,
  avgDurationMs,
  successRate,
});

describe("what a browser is expected to take, against hand-computed figures", () => {
  it("the seed's table is the prior", () => {
    expect([strongAt("vision"), strongAt("audio"), strongAt("text")]).toEqual([["chrome"], ["firefox"], ["edge"]]);
    expect(expectation(hostOf("chrome", 1), "vision", [])).toEqual({ prior: 0.8, factor: 0.8, samples: 0 });
    expect(expectation(hostOf("chrome", 1), "audio", []).factor).toBe(1);
    expect(expectation(hostOf("chrome", 1), null, []).factor).toBe(1);
    expect(expectation(hostOf("chrome", 1, { threads: 4 }), "vision", []).factor).toBeCloseTo(0.76);
    expect(expectation(hostOf("firefox", 1, { provider: "webgpu" }), "audio", []).factor).toBeCloseTo(0.76);
    expect(expectation(hostOf("edge", 1, { provider: "webnn" }), "text", []).factor).toBeCloseTo(0.76);
    expect(expectation(hostOf("safari", 1), "vision", []).factor).toBe(1);
  });

  it.each<[string, BrowserEvidence[], string, number]>([
    ["ten runs weigh as much as the table", [of("chrome", 10, 150), of("edge", 10, 50)], "chrome", (0.8 + 1.5) / 2],
    ["a thousand weigh nearly all", [of("chrome", 990, 150), of("edge", 990, 50)], "chrome", (8 + 990 * 1.5) / 1000],
    ["a browser alone is like itself", [of("chrome", 10, 150)], "chrome", (0.8 + 1) / 2],
    ["one without runs keeps the table's guess", [of("chrome", 0, null), of("edge", 10, 50)], "chrome", 0.8],
    ["failures count as tries", [of("chrome", 10, 100, 0.5), of("edge", 10, 100)], "chrome", (0.8 + 200 / 150) / 2],
    ["none ever succeeded: twenty tries", [of("chrome", 10, null, 0), of("edge", 10, 100)], "chrome", (0.8 + 20) / 2],
    ["all failed: nothing is known", [of("chrome", 10, null, 0)], "chrome", 0.8],
  ])("%s", (_, evidence, browser, factor) => {
    expect(expectation(hostOf(browser, 1), "vision", evidence).factor).toBeCloseTo(factor, 9);
  });
});

describe("browser_optimized", () => {
  const rec = readSkeleton(readerOf(fileOf(modelFiles("rec"), "")));
  const hosts = [hostOf("edge", 1), hostOf("chrome", 1)];
  const share = (evidence: readonly BrowserEvidence[]): number => {
    const { stages } = planShards(rec, { shards: 2, shardingStrategy: "browser_optimized", hosts, evidence });
    const of = (browser: string): number =>
      stages.find((stage) => stage.host?.browserType === browser)?.estimatedMs ?? 0;
    return of("chrome") / (of("chrome") + of("edge"));
  };

  it("gives a vision model's larger part to chrome, less of it the slower history knows chrome to be", () => {
    const [prior, even, slow] = [
      share([]),
      share([of("chrome", 10, 120), of("edge", 10, 100)]),
      share([of("chrome", 500, 300), of("edge", 500, 100)]),
    ];
    expect(prior).toBeGreaterThan(0.5);
    expect(even).toBeLessThan(prior);
    expect(slow).toBeLessThan(0.35);
  });

  it("explains itself in one sentence", () => {
    const evidence = [of("chrome", 24, 100), of("edge", 12, 100)];
    const { reason } = planShards(rec, { shards: 2, shardingStrategy: "browser_optimized", hosts, evidence });
    expect(reason).toMatch(
      /a vision model, which chrome is strong at; history makes it edge × 1.00 after 12 runs, chrome × 0.94 after 24 runs/,
    );
    expect(reason.match(/\.(\s|$)/g)).toHaveLength(1);
  });
});

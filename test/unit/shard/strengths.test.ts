import { describe, expect, it } from "vitest";
import type { Family } from "../../../src/shard/family.ts";
import type { BrowserEvidence, FamilyEvidence } from "../../../src/shard/host-profile.ts";
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
    expect(expectation(hostOf("chrome", 1), "vision", [])).toEqual({
      prior: 0.8,
      factor: 0.8,
      samples: 0,
      source: null,
    });
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

describe("history of the model's family", () => {
  const kin = (browserType: string, samples: number, relative: number, family: Family = "vision"): FamilyEvidence => ({
    browserType,
    family,
    samples,
    relative,
  });

  it.each<[string, BrowserEvidence[], FamilyEvidence[], number, string | null]>([
    ["stands in where the model is new", [], [kin("chrome", 30, 1.6)], (8 + 48) / 40, "family"],
    ["of another kind of model says nothing", [], [kin("chrome", 30, 1.6, "audio")], 0.8, null],
    ["of another browser says nothing", [], [kin("edge", 30, 1.6)], 0.8, null],
    [
      "gives way to the model's own, once two browsers have run it ten times",
      [of("chrome", 10, 150), of("edge", 10, 50)],
      [kin("chrome", 30, 1.6)],
      (0.8 + 1.5) / 2,
      "model",
    ],
    [
      "stays where the other browser has run the model less",
      [of("chrome", 10, 150), of("edge", 9, 50)],
      [kin("chrome", 30, 1.6)],
      (8 + 48) / 40,
      "family",
    ],
    [
      "stays where one browser alone has run it, which is only like itself",
      [of("chrome", 500, 150)],
      [kin("chrome", 30, 1.6)],
      (8 + 48) / 40,
      "family",
    ],
    ["is not needed: the model's own few runs count without it", [of("chrome", 10, 150)], [], (0.8 + 1) / 2, "model"],
  ])("%s", (_, evidence, families, factor, source) => {
    const found = expectation(hostOf("chrome", 1), "vision", evidence, families);
    expect(found.factor).toBeCloseTo(factor, 9);
    expect(found.source).toBe(source);
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

  it("says that what it knows is of other models of the family", () => {
    const families = [
      { browserType: "chrome", family: "vision", samples: 30, relative: 1.6 },
      { browserType: "edge", family: "vision", samples: 40, relative: 0.5 },
    ] as const;
    const { reason, family } = planShards(rec, { shards: 2, shardingStrategy: "browser_optimized", hosts, families });
    expect(family).toBe("vision");
    expect(reason).toMatch(
      /history makes it edge × 0.60 after 40 runs of vision models, chrome × 1.40 after 30 runs of vision models/,
    );
    expect(reason.match(/\.(\s|$)/g)).toHaveLength(1);
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

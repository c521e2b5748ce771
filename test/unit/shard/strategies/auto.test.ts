import { describe, expect, it } from "vitest";
import type { HostProfile } from "../../../../src/shard/host-profile.ts";
import { type PlanOptions, planShards } from "../../../../src/shard/plan.ts";
import { readSkeleton } from "../../../../src/shard/skeleton.ts";
import { ruleFor, type Situation } from "../../../../src/shard/strategies/auto.ts";
import { fileOf, modelFiles, readerOf } from "../models.ts";
import { hostOf, unevenModel } from "./uneven.ts";

const PLAIN: Situation = {
  browserTypes: 0,
  hasHistory: false,
  isFamilyKnown: false,
  areHostsUnlike: false,
  hasSeveralComponents: false,
  isDecoderOnly: false,
};

describe("auto follows the table of what each strategy is best for", () => {
  it.each<[Partial<Situation>, string]>([
    [{}, "balanced"],
    [{ isDecoderOnly: true }, "layer_based"],
    [{ hasSeveralComponents: true }, "component_based"],
    [{ hasSeveralComponents: true, isDecoderOnly: true }, "component_based"],
    [{ areHostsUnlike: true, isDecoderOnly: true }, "hardware_aware"],
    [{ browserTypes: 2, isFamilyKnown: true }, "browser_optimized"],
    [{ browserTypes: 1, isFamilyKnown: true }, "balanced"],
    [{ browserTypes: 2 }, "balanced"],
    [{ browserTypes: 2, isFamilyKnown: true, isDecoderOnly: true }, "layer_based"],
    [{ browserTypes: 2, hasHistory: true, areHostsUnlike: true, isDecoderOnly: true }, "browser_optimized"],
    [{ browserTypes: 1, hasHistory: true }, "balanced"],
  ])("%o → %s", (situation, strategy) => {
    expect(ruleFor({ ...PLAIN, ...situation })).toMatchObject({ strategy, because: expect.stringMatching(/\w+ \w+/) });
  });
});

describe("auto on real models", () => {
  const moby = readSkeleton(readerOf(fileOf(modelFiles("moby"), "")));
  const uneven = readSkeleton(readerOf(unevenModel()));
  const rec = readSkeleton(readerOf(fileOf(modelFiles("rec"), "")));
  const alike: readonly HostProfile[] = [hostOf("chrome", 1), hostOf("chrome", 1)];
  const unlike: readonly HostProfile[] = [hostOf("chrome", 1), hostOf("chrome", 3)];
  const several: readonly HostProfile[] = [hostOf("chrome", 1), hostOf("firefox", 1)];
  const evidence = [{ browserType: "firefox", samples: 5, avgDurationMs: 3, successRate: 1 }];

  it.each<[string, typeof moby, PlanOptions, string, RegExp]>([
    ["a decoder", moby, {}, "layer_based", /auto took layer_based: the model is decoder-only/],
    ["a decoder on hosts that are alike", moby, { hosts: alike }, "layer_based", /decoder-only/],
    ["an encoder–decoder", uneven, {}, "component_based", /several components, such as encoder and decoder/],
    ["hosts that differ", moby, { hosts: unlike }, "hardware_aware", /heterogeneous/],
    ["several browsers with history", moby, { hosts: several, evidence }, "browser_optimized", /history/],
    ["a vision model in several browsers", rec, { hosts: several }, "browser_optimized", /family/],
    ["a vision model", rec, {}, "balanced", /general-purpose/],
  ])("%s", (_, skeleton, options, strategy, reason) => {
    const plan = planShards(skeleton, { shards: 2, shardingStrategy: "auto", ...options });
    expect(plan).toMatchObject({ strategy, reason: expect.stringMatching(reason) });
  });
});

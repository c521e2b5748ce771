import { describe, expect, it } from "vitest";
import { replicasOf } from "../../../src/protocol/options.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import { SHARDING_STRATEGY_OPTIONS } from "../../../src/shard/types.ts";

describe("session options", () => {
  it("have defaults for all that is left out", () => {
    expect(parseSessionOptions({})).toEqual({
      shards: null,
      shardingStrategy: "layer_based",
      faultToleranceLevel: "medium",
      recoveryStrategy: "progressive",
      checkpointIntervalMs: 60_000,
      maxRecoveryAttempts: 3,
      executionProviders: null,
      place: "tab",
      stateBindings: "auto",
    });
  });

  it.each<object>([
    { shards: 1 },
    { shards: 1_000 },
    { faultToleranceLevel: "low", recoveryStrategy: "restart" },
    { faultToleranceLevel: "medium", recoveryStrategy: "failover" },
    { faultToleranceLevel: "none", recoveryStrategy: "parallel" },
    { faultToleranceLevel: "none", place: "offscreen" },
    { executionProviders: ["webgpu", "wasm"] },
    ...SHARDING_STRATEGY_OPTIONS.map((shardingStrategy) => ({ shardingStrategy })),
    { stateBindings: {} },
    { stateBindings: { past: "present" } },
  ])("are taken as they are: %o", (input) => {
    expect(parseSessionOptions(input)).toMatchObject(input);
  });

  it("are the same when checked a second time, as the pool does", () => {
    const options = parseSessionOptions({ shards: 2, stateBindings: { a: "b" } });
    expect(parseSessionOptions(structuredClone(options))).toEqual(options);
  });
});

describe("a wrong option", () => {
  it.each<[unknown, RegExp]>([
    [{ shards: 0 }, /shards.*>=1/],
    [{ shards: 1.5 }, /shards.*integer/],
    [{ shards: 1_001 }, /shards.*<=1000/],
    [{ shards: "2" }, /shards.*number/],
    [{ shards: Number.NaN }, /shards.*number/],
    [{ shardingStrategy: "odd" }, /shardingStrategy.*"layer_based"/],
    [{ faultToleranceLevel: "odd" }, /faultToleranceLevel.*"medium"/],
    [{ recoveryStrategy: "odd" }, /recoveryStrategy.*"progressive"/],
    [{ executionProviders: ["cuda"] }, /executionProviders\.0.*"webgpu" \| "webnn" \| "wasm"/],
    [{ executionProviders: [] }, /executionProviders.*>=1/],
    [{ executionProviders: "wasm" }, /executionProviders.*Array/],
    [{ place: "cellar" }, /place.*"tab" \| "offscreen"/],
    [{ stateBindings: "odd" }, /stateBindings.*"auto"/],
    [{ stateBindings: { past: 1 } }, /stateBindings/],
    [{ shard: 2 }, /shard /],
    [null, /options/],
    ["fast", /options/],
  ])("names itself and what is allowed: %o", (input, message) => {
    expect(() => parseSessionOptions(input)).toThrow(message);
    expect(() => parseSessionOptions(input)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });

  it.each<[object, RegExp]>([
    [{ replicas: 3 }, /medium.*critical/],
    [{ faultToleranceLevel: "high", replicas: 3 }, /high.*critical/],
    [{ faultToleranceLevel: "critical", replicas: 4 }, /replicas.*even/],
    [{ faultToleranceLevel: "critical", replicas: 1 }, /replicas.*>=3/],
    [{ faultToleranceLevel: "critical", spotCheck: 0.5 }, /critical.*high/],
    [{ faultToleranceLevel: "high", spotCheck: 1.5 }, /spotCheck.*<=1/],
  ])("is a second opinion that the level does not have: %o", (input, message) => {
    expect(() => parseSessionOptions(input)).toThrow(message);
    expect(() => parseSessionOptions(input)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });

  it("gives level critical three replicas unless told otherwise", () => {
    expect(replicasOf(parseSessionOptions({ faultToleranceLevel: "critical" }))).toBe(3);
    expect(replicasOf(parseSessionOptions({ faultToleranceLevel: "critical", replicas: 5 }))).toBe(5);
    expect(replicasOf(parseSessionOptions({ faultToleranceLevel: "high" }))).toBe(1);
  });

  it.each<[object, RegExp]>([
    [
      { faultToleranceLevel: "low", recoveryStrategy: "failover" },
      /Level low .* failover; use restart, reconnect, progressive/,
    ],
    [
      { faultToleranceLevel: "low", recoveryStrategy: "coordinated" },
      /Level low .* coordinated; use restart, reconnect, progressive, parallel/,
    ],
    [{ place: "offscreen" }, /level none only.*Use place tab, or level none/],
  ])("is also one that does not go with the others: %o", (input, message) => {
    expect(() => parseSessionOptions(input)).toThrow(message);
    expect(() => parseSessionOptions(input)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });
});

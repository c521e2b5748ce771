import { describe, expect, it } from "vitest";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";

describe("session options", () => {
  it("have defaults", () => {
    expect(parseSessionOptions({})).toEqual({
      shards: null,
      shardingStrategy: "layer_based",
      faultToleranceLevel: "medium",
      recoveryStrategy: "progressive",
      executionProviders: null,
      place: "tab",
      stateBindings: "auto",
    });
  });
  it("that fit are taken as they are", () => {
    const asked = { shards: 3, faultToleranceLevel: "low", recoveryStrategy: "restart", executionProviders: ["wasm"] };
    expect(parseSessionOptions(asked)).toMatchObject(asked);
    expect(parseSessionOptions({ faultToleranceLevel: "none", place: "offscreen" })).toMatchObject({
      place: "offscreen",
    });
    expect(parseSessionOptions({ stateBindings: { state: "stateN" } }).stateBindings).toEqual({ state: "stateN" });
  });
  it("level none ignores the strategy", () => {
    for (const recoveryStrategy of ["failover", "parallel"])
      expect(parseSessionOptions({ faultToleranceLevel: "none", recoveryStrategy })).toMatchObject({
        recoveryStrategy,
      });
  });

  it.each([
    [{ shards: 0 }, /shards/],
    [{ shards: 1.5 }, /shards/],
    [{ shards: "3" }, /shards/],
    [{ shards: 1_001 }, /shards/],
    [{ faultToleranceLevel: "extreme" }, /faultToleranceLevel/],
    [{ recoveryStrategy: "hope" }, /recoveryStrategy/],
    [{ executionProviders: [] }, /executionProviders/],
    [{ executionProviders: ["cuda"] }, /executionProviders/],
    [{ place: "worker" }, /place/],
    [{ shardes: 2 }, /shardes/],
    [{ stateBindings: { a: 1 } }, /stateBindings/],
    [{ stateBindings: { ["x".repeat(2_000)]: "y" } }, /stateBindings/],
    [
      { stateBindings: Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`a${at}`, "b"])) },
      /stateBindings/,
    ],
    [{ recoveryStrategy: "parallel" }, /level medium leaves no step/i],
    [{ faultToleranceLevel: "low", recoveryStrategy: "failover" }, /use restart, reconnect, progressive/],
    [{ shardingStrategy: "balanced" }, /use layer_based/],
    [{ place: "offscreen" }, /place tab, or level none/],
    [null, /options/],
    ["medium", /options/],
  ])("%j is refused", (asked, message) => {
    expect(() => parseSessionOptions(asked)).toThrow(message);
    expect(() => parseSessionOptions(asked)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });
  it.each(["high", "critical"])("level %s is not offered yet", (faultToleranceLevel) => {
    expect(() => parseSessionOptions({ faultToleranceLevel })).toThrow(
      expect.objectContaining({ code: "LEVEL_UNSUPPORTED" }),
    );
  });
  it("a prototype name is no option and pollutes nothing", () => {
    const asked = JSON.parse('{"stateBindings": {"__proto__": "x", "constructor": "y"}}') as unknown;
    parseSessionOptions(asked);
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
  });
});

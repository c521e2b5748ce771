import { describe, expect, it } from "vitest";
import { commonCheckpoint, planReplay } from "../../../src/driver/replay.ts";

const plan = (runs: readonly (number | null)[], safe: number, acked: number, restoreAll = false) =>
  planReplay({ statuses: runs.map((run) => ({ run, stored: [] })), safe, acked, restoreAll });

describe("what is sent again", () => {
  it("to fresh stages is everything after the safe run", () => {
    expect(plan([null, null], -1, -1)).toEqual({ restore: [0, 1], resendFrom: [0, 0], feedsFrom: 0 });
  });
  it("to one lost stage comes from its neighbour", () => {
    expect(plan([24, null, 23], 16, 23)).toEqual({ restore: [1], resendFrom: [17, 24, 24], feedsFrom: 25 });
  });
  it("starts further upstream when the neighbour was lost too", () => {
    expect(plan([null, null, 23], 16, 22)).toEqual({ restore: [0, 1], resendFrom: [17, 24, 23], feedsFrom: 17 });
  });
  it("by the last stage is what the page has not got", () => {
    expect(plan([30, 30, 30], 16, 27).resendFrom).toEqual([31, 31, 28]);
  });
  it("is nothing when all are even", () => {
    expect(plan([30, 30], 16, 30)).toEqual({ restore: [], resendFrom: [31, 31], feedsFrom: 31 });
  });
  it("to a stage that is behind the safe run starts there", () => {
    expect(plan([20, 9], 16, 18).restore).toEqual([1]);
  });
  it("without kept outputs starts anew for all", () => {
    expect(plan([20, 19], 18, 18, true)).toEqual({ restore: [0, 1], resendFrom: [19, 19], feedsFrom: 19 });
  });
});

describe("the last run that all stages stored", () => {
  const common = (limit: number, ...stored: number[][]) =>
    commonCheckpoint(
      stored.map((runs) => new Set(runs)),
      limit,
    );
  it("is the newest of all, not after the last answer", () => {
    expect(common(40, [0, 16, 32], [0, 16, 32, 48], [32, 16])).toBe(32);
    expect(common(31, [0, 16, 32], [0, 16, 32, 48], [32, 16])).toBe(16);
  });
  it("is none when one has nothing", () => {
    expect(common(40, [0, 16], [])).toBe(-1);
    expect(common(40)).toBe(-1);
  });
});

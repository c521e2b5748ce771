import { describe, expect, test } from "vitest";
import type { SessionEvent } from "../../src/protocol/events.ts";
import { type Answer, figuresOf, type Injected, isClean, outcomeOf, type Report, sumOf, type Told } from "./figures.ts";

const killed: Injected = { kind: "frame", at: 1_000, over: 1_000, works: ["a"], lasts: false, failed: false };
const answer = (begun: number, ended: number, work = "a"): Answer => [work, begun, ended];
const told = (at: number, event: object, work = "a"): Told => ({ work, at, event: event as SessionEvent });
const lost = (at: number) => told(at, { type: "fault", stage: 0, category: "CRASH", signal: "gone" });
const back = (at: number) => told(at, { type: "recovered", stage: 0, ms: 1 });

describe("when a fault is over", () => {
  test("an answer that was on its way when the fault came is none of its recovery", () => {
    const { recoveredMs } = outcomeOf(
      killed,
      [answer(900, 1_040), answer(1_041, 3_000), answer(3_001, 3_020)],
      [lost(1_060), back(3_005)],
    );
    expect(recoveredMs).toBe(2_000);
  });

  test("what nobody noticed is over with the first answer that was asked for after it", () => {
    expect(outcomeOf(killed, [answer(900, 1_100), answer(1_110, 1_150)], []).recoveredMs).toBe(150);
  });

  test("of several works the last one counts", () => {
    const answers = [answer(1_010, 1_100), answer(1_010, 1_800, "b")];
    expect(outcomeOf({ ...killed, works: ["a", "b"] }, answers, []).recoveredMs).toBe(800);
  });

  test("a work that does not answer any more has not recovered", () => {
    expect(outcomeOf(killed, [answer(900, 1_040)], [lost(1_060)]).recoveredMs).toBeNull();
    expect(outcomeOf({ ...killed, works: ["a", "b"] }, [answer(1_010, 1_100)], []).recoveredMs).toBeNull();
  });

  test("a bridge that comes back is a recovery as well", () => {
    const events = [told(1_030, { type: "bridge", state: "lost" }), told(1_200, { type: "bridge", state: "restored" })];
    expect(outcomeOf(killed, [answer(990, 1_020), answer(1_021, 1_400)], events).recoveredMs).toBe(400);
  });

  test("what is nobody's but its own is over with its cause, unless it failed", () => {
    const download: Injected = { kind: "download", at: 1_000, over: 4_000, works: [], lasts: false, failed: false };
    expect(outcomeOf(download, [], []).recoveredMs).toBe(3_000);
    expect(outcomeOf({ ...download, failed: true }, [], []).recoveredMs).toBeNull();
  });
});

describe("figures", () => {
  const report: Report = {
    level: "medium",
    seeds: [1],
    minutes: 1,
    date: "2026-11-25",
    tokens: 10,
    runs: 20,
    missing: 0,
    doubled: 0,
    wrong: 0,
    outcomes: [100, 200, 300, 400].map((recoveredMs) => ({ ...killed, recoveredMs })),
    errors: [],
    predictedErrors: 0,
    wrongs: [],
  };

  test("percentiles are by kind and in total", () => {
    const figures = figuresOf(report);
    expect(figures.recoveryMs).toEqual({ p50: 200, p95: 400 });
    expect(figures.byKind).toEqual({ frame: { injected: 4, recovered: 4, recoveryMs: { p50: 200, p95: 400 } } });
    expect(isClean(figures)).toBe(true);
  });

  test("runs are summed", () => {
    const sum = figuresOf(sumOf([report, { ...report, seeds: [2], wrong: 1 }]));
    expect(sum).toMatchObject({ seeds: [1, 2], minutes: 2, answers: { tokens: 20, runs: 40 }, tokens: { wrong: 1 } });
    expect(sum.faults).toEqual({ injected: 8, recovered: 8 });
    expect(isClean(sum)).toBe(false);
  });

  test.each([
    ["a token was missing", { missing: 1 }],
    ["a token came twice", { doubled: 1 }],
    ["a token was wrong", { wrong: 1 }],
    ["a fault was not recovered from", { outcomes: [{ ...killed, recoveredMs: null }] }],
    ["nothing was injected", { outcomes: [] }],
    [
      "an error came that nobody predicted",
      { errors: [{ work: "a", at: 1, typed: true, code: "HOST_LOST", category: "CRASH", message: "" }] },
    ],
  ])("it is not clean when %s", (_, change) => {
    expect(isClean(figuresOf({ ...report, ...change }))).toBe(false);
  });
});

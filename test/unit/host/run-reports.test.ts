import { describe, expect, it } from "vitest";
import { RunReports, SHORT_RUN_MS } from "../../../src/host/run-reports.ts";

function watch(runsBlock: boolean) {
  const told: string[] = [];
  const clock = { now: 0 };
  const reports = new RunReports(
    {
      started: (run, shape) => told.push(`${run} ${shape}`),
      ended: (run) => told.push(`${run} ended`),
      now: () => clock.now,
    },
    runsBlock,
  );
  const run = (number: number, shape: string, ms: number): void => {
    reports.started(number, shape);
    clock.now += ms;
    reports.ended(number);
  };
  return { told, run, reports };
}

describe("the keeper hears of a run", () => {
  it("of a shape that was never run, and not of the next ones when it was short", () => {
    const { told, run } = watch(true);
    run(0, "1x5", 10);
    run(1, "1x5", 10);
    // As the detector has it: up to the next power of two it is the same shape.
    run(2, "1x8", 10);
    run(3, "1x9", 10);
    expect(told).toEqual(["0 1x5", "0 ended", "3 1x9", "3 ended"]);
  });
  it("of a shape that took long once, from then on", () => {
    const { told, run } = watch(true);
    run(0, "1", 1);
    run(1, "1", SHORT_RUN_MS + 1);
    run(2, "1", 1);
    expect(told).toEqual(["0 1", "0 ended", "2 1", "2 ended"]);
  });
  it("always where the thread is free during a run, for heartbeats say nothing of it", () => {
    const { told, run } = watch(false);
    run(0, "1", 1);
    run(1, "1", 1);
    expect(told).toHaveLength(4);
  });
  it("once, and of none that was refused before it began", () => {
    const { told, reports } = watch(true);
    reports.ended(0);
    reports.started(1, "1");
    reports.ended(1);
    reports.ended(1);
    expect(told).toEqual(["1 1", "1 ended"]);
  });
});

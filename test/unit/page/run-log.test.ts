import { beforeEach, describe, expect, it } from "vitest";
import type { ErrorData } from "../../../src/base/errors.ts";
import type { WireTensors } from "../../../src/base/tensor.ts";
import { RunLog } from "../../../src/page/run-log.ts";

const FAILED: ErrorData = { code: "RUN_FAILED", category: "UNKNOWN", message: "It failed." };
const feeds = (bytes: number): WireTensors => ({ x: { type: "uint8", dims: [bytes], data: new Uint8Array(bytes) } });

let log: RunLog;
beforeEach(() => {
  log = new RunLog();
});

describe("what the page keeps", () => {
  it("is every run that is not yet safe, with its bytes", () => {
    for (let run = 0; run < 4; run++) log.addRun({ run: run, reset: run === 0, feeds: feeds(10), lineage: undefined });
    expect([log.bytes, log.replayRuns]).toEqual([40, 4]);
    log.drop(1);
    expect([log.bytes, log.replayRuns]).toEqual([20, 2]);
    expect(log.feedsFrom(0).map(({ run }) => run)).toEqual([2, 3]);
    log.drop(3);
    expect([log.bytes, log.replayRuns, log.entries()]).toEqual([0, 0, []]);
  });

  it("is fed again from a given run on, in order, with its resets", () => {
    for (let run = 0; run < 4; run++) log.addRun({ run: run, reset: run === 2, feeds: feeds(1), lineage: undefined });
    expect(log.feedsFrom(1).map(({ run, reset }) => [run, reset])).toEqual([
      [1, false],
      [2, true],
      [3, false],
    ]);
  });

  it("loses the feeds of a failed run but not its number", () => {
    log.addRun({ run: 0, reset: true, feeds: feeds(8), lineage: undefined });
    log.addRun({ run: 1, reset: false, feeds: feeds(8), lineage: undefined });
    log.markFailed(0, FAILED);
    expect(log.feedsFrom(0).map(({ run }) => run)).toEqual([1]);
    expect(log.entries().map((entry) => entry.kind === "run" && [entry.run, entry.error])).toEqual([
      [0, FAILED],
      [1, null],
    ]);
    expect(log.replayRuns).toBe(1);
  });

  it("counts no bytes of a failed run", () => {
    log.addRun({ run: 0, reset: true, feeds: feeds(8), lineage: undefined });
    log.markFailed(0, FAILED);
    expect(log.bytes).toBe(0);
  });
});

describe("a generation", () => {
  beforeEach(() => log.addGeneration(10, [1, 2], [5, 6, 7, 8, 9], 5));

  it("covers one run for each of its ids", () => {
    log.drop(9);
    expect(log.entries()).toEqual([
      { kind: "generation", base: 10, last: 14, promptIds: [1, 2], ids: [5, 6, 7, 8, 9] },
    ]);
    expect(log.replayRuns).toBe(5);
  });

  it("counts all its runs before anything is safe", () => {
    expect(log.replayRuns).toBe(5);
  });

  it.each([
    [9, 5],
    [10, 4],
    [12, 2],
    [13, 1],
  ])("that is safe up to run %d is kept whole but counts only %d runs", (safe, count) => {
    log.drop(safe);
    expect(log.replayRuns).toBe(count);
    expect(log.entries()).toMatchObject([{ base: 10, ids: [5, 6, 7, 8, 9] }]);
  });

  it("whose last run failed keeps that run's number", () => {
    log.drop(14);
    log.addGeneration(15, [3], [4], 2);
    log.drop(15);
    expect(log.entries()).toEqual([{ kind: "generation", base: 15, last: 16, promptIds: [3], ids: [4] }]);
    log.drop(16);
    expect(log.entries()).toEqual([]);
  });

  it("is forgotten when its last run is safe", () => {
    log.drop(14);
    expect([log.entries(), log.replayRuns]).toEqual([[], 0]);
  });

  it("counts beside the runs around it, costs no bytes and is not fed by the page", () => {
    log.addRun({ run: 15, reset: true, feeds: feeds(4), lineage: undefined });
    log.drop(12);
    expect([log.replayRuns, log.bytes, log.feedsFrom(0).map(({ run }) => run)]).toEqual([3, 4, [15]]);
  });
});

import { describe, expect, it } from "vitest";
import { zeros } from "../../../src/base/bytes.ts";
import { RunLog } from "../../../src/page/run-log.ts";

const feeds = (floats: number) => ({ x: zeros("float32", [floats]) });
const ERROR = { code: "RUN_FAILED", category: "UNKNOWN", message: "bad" } as const;

describe("what the page keeps for replay", () => {
  it("is every run after the safe one, with its bytes", () => {
    const log = new RunLog();
    for (const run of [0, 1, 2]) log.addRun(run, run === 0, feeds(10));
    expect(log.bytes).toBe(120);
    log.drop(1);
    expect(log.entries()).toMatchObject([{ run: 2, reset: false }]);
    expect(log.bytes).toBe(40);
    log.drop(2);
    expect([log.entries(), log.bytes]).toEqual([[], 0]);
  });
  it("is a generation as a whole, until its last run is safe", () => {
    const log = new RunLog();
    log.addGeneration(5, [1, 2], [7, 8, 9], 3);
    log.drop(6);
    expect(log.entries()).toMatchObject([{ base: 5, last: 7, ids: [7, 8, 9] }]);
    expect(log.replayRuns).toBe(1);
    log.drop(7);
    expect(log.entries()).toEqual([]);
  });
  it("of a generation whose last run failed is that run as well: its number is taken", () => {
    const log = new RunLog();
    log.addGeneration(5, [1, 2], [7, 8], 3);
    log.drop(6);
    expect(log.entries()).toMatchObject([{ base: 5, last: 7 }]);
  });
  it("of a failed run is its number and its error, and no feeds", () => {
    const log = new RunLog();
    for (const run of [0, 1, 2]) log.addRun(run, run === 0, feeds(10));
    log.markFailed(1, ERROR);
    expect(log.feedsFrom(0).map(({ run }) => run)).toEqual([0, 2]);
    expect(log.entries()[1]).toMatchObject({ run: 1, error: ERROR, feeds: null });
    expect(log.replayRuns).toBe(2);
  });
  it("is fed again from the run that is asked for", () => {
    const log = new RunLog();
    for (const run of [3, 4, 5]) log.addRun(run, false, feeds(1));
    expect(log.feedsFrom(4).map(({ run }) => run)).toEqual([4, 5]);
  });
});

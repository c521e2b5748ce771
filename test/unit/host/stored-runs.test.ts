import { describe, expect, it } from "vitest";
import { RESEND_RUNS_MAX } from "../../../src/base/limits.ts";
import { StoredRuns } from "../../../src/host/stored-runs.ts";

function store(runs: StoredRuns, run: number, isComplete: boolean): void {
  runs.begin(run, isComplete);
  if (runs.end(run)) runs.add(run);
}

describe("a stage's list of what is stored", () => {
  it("ends where storage does: what is long before a record that is complete in itself is gone", () => {
    const runs = new StoredRuns([]);
    for (let run = 0; run <= 10 * RESEND_RUNS_MAX; run += 16) store(runs, run, true);
    const last = runs.all.at(-1) ?? 0;
    expect(runs.all[0]).toBeGreaterThanOrEqual(last - RESEND_RUNS_MAX);
    expect(runs.all.length).toBe(RESEND_RUNS_MAX / 16 + 1);
  });
  it("keeps all that a chain of changes builds on", () => {
    const runs = new StoredRuns([]);
    store(runs, 0, true);
    for (let run = 16; run <= 10 * RESEND_RUNS_MAX; run += 16) store(runs, run, false);
    expect(runs.has(0)).toBe(true);
  });
  it("drops nothing for a record from before a restore", () => {
    const runs = new StoredRuns([0]);
    runs.begin(2 * RESEND_RUNS_MAX, true);
    runs.goBack(0);
    expect(runs.end(2 * RESEND_RUNS_MAX)).toBe(false);
    expect(runs.all).toEqual([0]);
  });
});

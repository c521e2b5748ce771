import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PerformanceHistoryTracker } from "../../../src/history/tracker.ts";
import { History } from "./build.ts";

describe("an operation", () => {
  it("is timed by the clock, and keeps what was measured of it", () => {
    const { tracker } = new History().record({ ms: 120, metrics: { throughput: 10 } });
    expect(tracker.entries).toEqual([
      {
        sequence: 0,
        id: "entry-1",
        operation: "inference",
        modelName: "m",
        browserId: "h",
        browserType: "chrome",
        status: "completed",
        startTime: 1_000_000,
        endTime: 1_000_120,
        durationMs: 120,
        metrics: { throughput: 10 },
      },
    ]);
  });

  it("took what its host measured, whatever the clock says", () => {
    const { tracker } = new History().record({ ms: 500, metrics: { durationMs: 120 } });
    expect(tracker.entries[0]?.durationMs).toBe(120);
  });

  it("has no known duration when the clock went backwards meanwhile, and still counts as successful", () => {
    const { tracker } = new History().times([10, 30]).record({ ms: -5_000 });
    expect(tracker.entries.at(-1)).toMatchObject({ status: "completed", durationMs: null });
    expect(tracker.getAverageDurationByModel("m")).toBe(20);
    expect(tracker.getStatistics()).toMatchObject({ successfulEntries: 3, successRate: 1 });
  });

  it.each<[string, Record<string, number>, number | null]>([
    ["is negative", { durationMs: -1 }, null],
    ["is no number", { durationMs: Number.NaN }, 40],
    ["is endless", { durationMs: Number.POSITIVE_INFINITY }, 40],
  ])("does not believe a measurement that %s", (_, metrics, durationMs) => {
    const { tracker } = new History().record({ ms: 40, metrics });
    expect(tracker.entries[0]?.durationMs).toBe(durationMs);
    for (const value of Object.values(tracker.entries[0]?.metrics ?? {})) expect(value).toSatisfy(Number.isFinite);
  });

  it("ends once: who is second is told so and changes nothing", () => {
    const history = new History();
    const id = history.start();
    expect(history.tracker.completeOperation(id, {}, "failed")).toBe(true);
    expect(history.tracker.completeOperation(id)).toBe(false);
    expect(history.tracker.abortOperation(id)).toBe(false);
    expect(history.tracker.completeOperation("never begun")).toBe(false);
    expect(history.tracker.entries[0]?.status).toBe("failed");
  });
});

describe("rates and averages", () => {
  const mixed = (): PerformanceHistoryTracker =>
    new History()
      .record({ ms: 10 }, { ms: 20, status: "recovered" }, { ms: 900, status: "failed" }, { status: "running" })
      .record({ ms: 70, status: "aborted" }, { ms: 30, model: "n", type: "firefox", operation: "load", host: "g" })
      .tracker;

  it("leave out what still runs and what was aborted", () => {
    const tracker = mixed();
    expect(tracker.getFailureRateByModel("m")).toBeCloseTo(1 / 3);
    expect(tracker.getFailureRateByBrowserType("chrome")).toBeCloseTo(1 / 3);
    expect(tracker.getAverageDurationByModel("m")).toBe(15);
    expect(tracker.getAverageDurationByBrowserType("firefox")).toBe(30);
    expect(tracker.getAverageDurationByBrowserType("firefox", "inference")).toBeNull();
  });

  it("are null where nothing has finished, and a failure rate of 1 has no average", () => {
    const { tracker } = new History().record({ status: "running" }, { status: "failed", model: "bad" });
    expect(tracker.getFailureRateByModel("m")).toBeNull();
    expect(tracker.getFailureRateByModel("never seen")).toBeNull();
    expect(tracker.getFailureRateByModel("bad")).toBe(1);
    expect(tracker.getAverageDurationByModel("bad")).toBeNull();
  });

  it("stand in the statistics", () => {
    expect(mixed().getStatistics()).toEqual({
      totalEntries: 6,
      successfulEntries: 3,
      successRate: 0.75,
      avgDurationMs: 20,
      operationTypes: ["inference", "load"],
      modelNames: ["m", "n"],
      browserTypes: ["chrome", "firefox"],
      firstEntryTime: 1_000_000,
      lastEntryTime: 1_001_000,
    });
    expect(new History().tracker.getStatistics()).toMatchObject({
      totalEntries: 0,
      successRate: null,
      avgDurationMs: null,
      firstEntryTime: null,
      lastEntryTime: null,
    });
  });
});

describe("entries", () => {
  it("are found by model, host, operation, time, and how new they are", () => {
    const { tracker } = new History().times([5, 5, 5]).record({ model: "n", host: "g", operation: "load", ms: 1 });
    const ids = (entries: readonly { id: string }[]) => entries.map(({ id }) => id);
    expect(ids(tracker.getEntriesByModel("n"))).toEqual(["entry-4"]);
    expect(ids(tracker.getEntriesByBrowser("h"))).toEqual(["entry-1", "entry-2", "entry-3"]);
    expect(ids(tracker.getEntriesByOperation("load"))).toEqual(["entry-4"]);
    expect(ids(tracker.getEntriesByTimeRange(1_000_005, 1_000_010))).toEqual(["entry-2", "entry-3"]);
    expect(ids(tracker.getLatestEntries(2))).toEqual(["entry-4", "entry-3"]);
    expect(ids(tracker.getLatestEntries())).toHaveLength(4);
    expect(tracker.getLatestEntries(0)).toEqual([]);
  });

  it("are bounded: the oldest that has ended goes first, so that what runs can still end", () => {
    const history = new History(3);
    const running = history.start();
    history.times([1, 2, 3]);
    expect(history.tracker.entries.map(({ id }) => id)).toEqual([running, "entry-3", "entry-4"]);
    expect(history.tracker.completeOperation(running)).toBe(true);
  });

  it("are bounded even when all of them run", () => {
    const history = new History(2);
    const ids = [history.start(), history.start(), history.start()];
    expect(history.tracker.entries.map(({ id }) => id)).toEqual(ids.slice(1));
    expect(history.tracker.completeOperation(ids[0] ?? "")).toBe(false);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("cannot be bounded by %s", (maxEntries) => {
    expect(() => new PerformanceHistoryTracker(maxEntries)).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
  });

  it("number 1000 by default, with names of bounded length", () => {
    const history = new History();
    for (let count = 0; count < 1_001; count++) history.record({ ms: 1 });
    expect(history.tracker.entries).toHaveLength(1_000);
    history.start({ model: "x".repeat(10_000) });
    expect(history.tracker.entries.at(-1)?.modelName).toHaveLength(500);
  });
});

describe("a stored history", () => {
  const stored = (history: History): unknown => JSON.parse(JSON.stringify(history.tracker));

  it("comes back as it was, except that what ran was cut short, which is no failure", () => {
    const history = new History().record({ ms: 4 }, { status: "failed" }, { status: "running" });
    const tracker = PerformanceHistoryTracker.from(stored(history), undefined, history.needs);
    expect(tracker.entries.map(({ status }) => status)).toEqual(["completed", "failed", "aborted"]);
    expect(tracker.entries.slice(0, 2)).toEqual(history.tracker.entries.slice(0, 2));
    expect(tracker.getFailureRateByModel("m")).toBe(0.5);
    expect(tracker.completeOperation("entry-3")).toBe(false);
    tracker.startOperation("inference", "m", "h", "chrome");
    expect(tracker.entries.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
  });

  it("gives the newest where it holds more than there is room for", () => {
    const history = new History().times([1, 2, 3, 4]);
    const tracker = PerformanceHistoryTracker.from(stored(history), 2, history.needs);
    expect(tracker.entries.map(({ durationMs }) => durationMs)).toEqual([3, 4]);
  });

  it.each<[string, (entry: Record<string, unknown>) => unknown]>([
    ["nothing", () => undefined],
    ["text", () => "history"],
    ["another version", (entry) => ({ version: 2, entries: [entry] })],
    ["an entry without a status", ({ status: _, ...entry }) => ({ version: 1, entries: [entry] })],
    ["an unknown status", (entry) => ({ version: 1, entries: [{ ...entry, status: "paused" }] })],
    ["a negative duration", (entry) => ({ version: 1, entries: [{ ...entry, durationMs: -1 }] })],
    ["a metric that is text", (entry) => ({ version: 1, entries: [{ ...entry, metrics: { a: "b" } }] })],
    ["more fields", (entry) => ({ version: 1, entries: [{ ...entry, extra: 1 }] })],
  ])("is refused, with a reason, where it is %s", (_, damage) => {
    const [entry] = new History().record({ ms: 1 }).tracker.entries;
    expect(() => PerformanceHistoryTracker.from(damage({ ...entry }))).toThrow(
      expect.objectContaining({ code: "INTERNAL", message: expect.stringContaining("not readable") }),
    );
  });
});

/** Anything that a pool, a clock and a restart may do. */
const action = fc.oneof(
  fc.record({ do: fc.constant("start" as const), type: fc.constantFrom("chrome", "edge", "firefox") }),
  fc.record({
    do: fc.constant("end" as const),
    which: fc.nat(30),
    status: fc.constantFrom("completed" as const, "failed" as const, "recovered" as const, "aborted" as const),
  }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: -100_000, max: 100_000 }) }),
  fc.record({ do: fc.constant("restart" as const) }),
);

describe("whatever happens", () => {
  it("the history stays bounded and ordered, its rates between 0 and 1, and running entries are in none of them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(action, { maxLength: 60 }), (maxEntries, actions) => {
        const history = new History();
        let tracker = new PerformanceHistoryTracker(maxEntries, history.needs);
        const ids: string[] = [];
        const ended = { success: 0, failure: 0 };
        for (const step of actions) {
          if (step.do === "wait") history.now += step.ms;
          if (step.do === "start") ids.push(tracker.startOperation("inference", "m", "h", step.type));
          if (step.do === "restart")
            tracker = PerformanceHistoryTracker.from(structuredClone(tracker.toJSON()), maxEntries, history.needs);
          if (step.do === "end") {
            const id = ids[step.which % Math.max(1, ids.length)] ?? "";
            if (step.status === "aborted") tracker.abortOperation(id);
            else if (tracker.completeOperation(id, {}, step.status))
              ended[step.status === "failed" ? "failure" : "success"]++;
          }
        }
        const { entries } = tracker;
        expect(entries.length).toBeLessThanOrEqual(maxEntries);
        for (const [at, { sequence, durationMs }] of entries.entries()) {
          if (at > 0) expect(sequence).toBeGreaterThan(entries[at - 1]?.sequence ?? -1);
          if (durationMs !== null) expect(durationMs).toBeGreaterThanOrEqual(0);
        }
        const { successfulEntries, successRate } = tracker.getStatistics();
        const failed = entries.filter(({ status }) => status === "failed").length;
        expect(successRate).toBe(
          successfulEntries + failed === 0 ? null : successfulEntries / (successfulEntries + failed),
        );
        expect(successfulEntries).toBeLessThanOrEqual(ended.success);
        expect(failed).toBeLessThanOrEqual(ended.failure);
      }),
    );
  });
});

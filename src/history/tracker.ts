import * as v from "valibot";
import { HoldfastError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import {
  durationsOf,
  Entry,
  type FinalStatus,
  isFinished,
  type Metrics,
  type PerformanceEntry,
  succeeded,
  successRateOf,
} from "./entry.ts";
import { type BrowserQuery, type BrowserRecommendation, recommendBrowser } from "./recommend-browser.ts";
import { meanOf } from "./statistics.ts";
import { HISTORY_ENTRIES_MAX, METRICS_MAX, NAME_CHARS_MAX } from "./thresholds.ts";
import { analyzeTrends, type PerformanceTrends, type TrendQuery } from "./trends.ts";

/** Grows when entries of an earlier version could not be read any more. */
export const HISTORY_VERSION = 1;

const Stored = v.strictObject({ version: v.literal(HISTORY_VERSION), entries: v.array(Entry) });
export type StoredHistory = Readonly<v.InferOutput<typeof Stored>>;

export interface HistoryNeeds {
  /** Epoch milliseconds; may go backwards. */
  now(): number;
  newId(): string;
}

/** Averages in milliseconds over successful operations, times in epoch milliseconds; null where there is none. */
export interface HistoryStatistics {
  /** All that are kept, running ones too. */
  readonly totalEntries: number;
  readonly successfulEntries: number;
  /** 0 to 1 over finished operations. */
  readonly successRate: number | null;
  readonly avgDurationMs: number | null;
  readonly operationTypes: readonly string[];
  readonly modelNames: readonly string[];
  readonly browserTypes: readonly string[];
  /** Earliest and latest start. */
  readonly firstEntryTime: number | null;
  readonly lastEntryTime: number | null;
}

/** What hosts did, how long it took and how it ended: bounded, and pure but for the clock and ids it is given. */
export class PerformanceHistoryTracker {
  private list: readonly PerformanceEntry[] = [];
  private sequence = 0;

  /** @throws HoldfastError BAD_OPTIONS unless `maxEntries` is a whole number from 1 up. */
  constructor(
    readonly maxEntries: number = HISTORY_ENTRIES_MAX,
    private readonly needs: HistoryNeeds = { now: () => Date.now(), newId },
  ) {
    if (!Number.isSafeInteger(maxEntries) || maxEntries < 1)
      throw new HoldfastError("BAD_OPTIONS", `maxEntries is ${maxEntries}: give a whole number from 1 up.`);
  }

  /**
   * What `toJSON` gave, after a restart: whatever was still running then was cut short, which is no failure.
   * @throws HoldfastError INTERNAL when the record is damaged or of another version.
   */
  static from(stored: unknown, maxEntries?: number, needs?: HistoryNeeds): PerformanceHistoryTracker {
    const parsed = v.safeParse(Stored, stored);
    if (!parsed.success) {
      const [issue] = parsed.issues;
      const where = issue === undefined ? null : v.getDotPath(issue);
      throw new HoldfastError(
        "INTERNAL",
        `The stored history is not readable: ${where ?? "record"}: ${issue?.message}`,
      );
    }
    const tracker = new PerformanceHistoryTracker(maxEntries, needs);
    const entries = [...parsed.output.entries].sort((a, b) => a.sequence - b.sequence);
    tracker.list = entries
      .slice(-tracker.maxEntries)
      .map((entry) => (entry.status === "running" ? { ...entry, status: "aborted" as const } : entry));
    tracker.sequence = (entries.at(-1)?.sequence ?? -1) + 1;
    return tracker;
  }

  toJSON(): StoredHistory {
    return { version: HISTORY_VERSION, entries: [...this.list] };
  }

  /** In the order of recording. Entries never change: a completed operation is a new object. */
  get entries(): readonly PerformanceEntry[] {
    return this.list;
  }

  /** Returns the entry's id. Names longer than 500 characters are cut. */
  startOperation(operation: string, modelName: string, browserId: string, browserType: string): string {
    const id = this.needs.newId();
    const entry: PerformanceEntry = {
      sequence: this.sequence++,
      id,
      operation: named(operation),
      modelName: named(modelName),
      browserId: named(browserId),
      browserType: named(browserType),
      status: "running",
      startTime: this.needs.now(),
      endTime: null,
      durationMs: null,
      metrics: {},
    };
    this.list = [...this.withRoom(), entry];
    return id;
  }

  /**
   * `metrics.durationMs` is believed before the clock is. Without it, a clock that went backwards meanwhile leaves the
   * duration unknown. Values that are not finite numbers are left out.
   * @returns False: there is no such operation under way. The first completion stays.
   */
  completeOperation(id: string, metrics: Metrics = {}, status: FinalStatus = "completed"): boolean {
    const endTime = this.needs.now();
    const kept = finite(metrics);
    const measured = kept["durationMs"];
    return this.replace(id, (entry) => {
      const elapsed = measured ?? endTime - entry.startTime;
      return { ...entry, status, endTime, durationMs: elapsed < 0 ? null : elapsed, metrics: kept };
    });
  }

  /** Nobody will ever know how it would have ended: the caller gave it up. False: it is not under way. */
  abortOperation(id: string): boolean {
    const endTime = this.needs.now();
    return this.replace(id, (entry) => ({ ...entry, status: "aborted", endTime }));
  }

  getEntriesByModel(modelName: string): PerformanceEntry[] {
    return this.list.filter((entry) => entry.modelName === modelName);
  }
  getEntriesByBrowser(browserId: string): PerformanceEntry[] {
    return this.list.filter((entry) => entry.browserId === browserId);
  }
  getEntriesByOperation(operation: string): PerformanceEntry[] {
    return this.list.filter((entry) => entry.operation === operation);
  }
  /** Started from `start` to `end`, both included, epoch milliseconds. */
  getEntriesByTimeRange(start: number, end: number): PerformanceEntry[] {
    return this.list.filter(({ startTime }) => startTime >= start && startTime <= end);
  }
  /** Newest first. */
  getLatestEntries(count = 10): PerformanceEntry[] {
    return count <= 0 ? [] : this.list.slice(-count).reverse();
  }

  /** Milliseconds over successful operations; null: none. */
  getAverageDurationByModel(modelName: string, operation?: string): number | null {
    return meanOf(durationsOf(this.list.filter((e) => e.modelName === modelName && isOf(e, operation))));
  }
  getAverageDurationByBrowserType(browserType: string, operation?: string): number | null {
    return meanOf(durationsOf(this.list.filter((e) => e.browserType === browserType && isOf(e, operation))));
  }
  /** 0 to 1 over finished operations; null: none has finished. */
  getFailureRateByModel(modelName: string): number | null {
    return failureRateOf(this.getEntriesByModel(modelName));
  }
  getFailureRateByBrowserType(browserType: string): number | null {
    return failureRateOf(this.list.filter((entry) => entry.browserType === browserType));
  }

  analyzePerformanceTrends(query: TrendQuery = {}): PerformanceTrends {
    return analyzeTrends(this.list, this.needs.now(), query);
  }

  recommendBrowserType(query: BrowserQuery): BrowserRecommendation {
    return recommendBrowser(this.list, query);
  }

  getStatistics(): HistoryStatistics {
    const times = this.list.map(({ startTime }) => startTime);
    const distinct = (key: "operation" | "modelName" | "browserType"): string[] =>
      [...new Set(this.list.map((entry) => entry[key]))].sort();
    return {
      totalEntries: this.list.length,
      successfulEntries: this.list.filter(succeeded).length,
      successRate: successRateOf(this.list),
      avgDurationMs: meanOf(durationsOf(this.list)),
      operationTypes: distinct("operation"),
      modelNames: distinct("modelName"),
      browserTypes: distinct("browserType"),
      firstEntryTime: times.length === 0 ? null : Math.min(...times),
      lastEntryTime: times.length === 0 ? null : Math.max(...times),
    };
  }

  private replace(id: string, change: (entry: PerformanceEntry) => PerformanceEntry): boolean {
    const at = this.list.findLastIndex((entry) => entry.id === id && entry.status === "running");
    const entry = this.list[at];
    if (entry === undefined) return false;
    this.list = this.list.with(at, change(entry));
    return true;
  }

  /** The oldest operation that has ended goes first, so that one under way can still be completed. */
  private withRoom(): readonly PerformanceEntry[] {
    if (this.list.length < this.maxEntries) return this.list;
    const ended = this.list.findIndex(({ status }) => status !== "running");
    return this.list.toSpliced(Math.max(0, ended), 1);
  }
}

function named(name: string): string {
  return name.slice(0, NAME_CHARS_MAX);
}

function isOf(entry: PerformanceEntry, operation: string | undefined): boolean {
  return operation === undefined || entry.operation === operation;
}

function finite(metrics: Metrics): Metrics {
  const kept = Object.entries(metrics).filter(([, value]) => Number.isFinite(value));
  return Object.fromEntries(kept.slice(0, METRICS_MAX).map(([name, value]) => [named(name), value]));
}

function failureRateOf(entries: readonly PerformanceEntry[]): number | null {
  const finished = entries.filter(isFinished);
  return finished.length === 0 ? null : finished.filter((entry) => entry.status === "failed").length / finished.length;
}

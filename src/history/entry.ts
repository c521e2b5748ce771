import * as v from "valibot";
import { METRICS_MAX, NAME_CHARS_MAX } from "./thresholds.ts";

/** How an operation can end: the seed's status values of an operation. */
export const FINAL_STATUSES = ["completed", "failed", "recovered"] as const;
export type FinalStatus = (typeof FINAL_STATUSES)[number];

const Name = v.pipe(v.string(), v.maxLength(NAME_CHARS_MAX));
const Time = v.pipe(v.number(), v.finite());
const Duration = v.pipe(Time, v.minValue(0));

/** Numbers by name, each with its unit in the name: `durationMs`, `throughput`, `weightBytes`. */
export const Metrics = v.pipe(
  v.record(Name, Time),
  v.check((metrics) => Object.keys(metrics).length <= METRICS_MAX, "too many metrics"),
);
export type Metrics = Readonly<v.InferOutput<typeof Metrics>>;

export const Entry = v.strictObject({
  /** Order of recording; unlike times it only grows. */
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  id: Name,
  /** "load", "inference", "recovery", or what the caller calls it. */
  operation: Name,
  modelName: Name,
  /** The host that did it. */
  browserId: Name,
  browserType: Name,
  /** `aborted`: nobody knows how it would have ended. Neither a success nor a failure. */
  status: v.picklist(["running", "aborted", ...FINAL_STATUSES]),
  /** Epoch milliseconds, as the clock then was. */
  startTime: Time,
  endTime: v.nullable(Time),
  /** Milliseconds; null while it runs, and where the clock went backwards meanwhile and nobody measured it. */
  durationMs: v.nullable(Duration),
  metrics: Metrics,
});
/** One operation that a host did for a model. */
export type PerformanceEntry = Readonly<v.InferOutput<typeof Entry>>;

export interface EntryFilter {
  readonly modelName?: string | undefined;
  readonly browserType?: string | undefined;
  readonly operationType?: string | undefined;
}

export function matches(entry: PerformanceEntry, { modelName, browserType, operationType }: EntryFilter): boolean {
  return (
    (modelName === undefined || entry.modelName === modelName) &&
    (browserType === undefined || entry.browserType === browserType) &&
    (operationType === undefined || entry.operation === operationType)
  );
}

/** Running and aborted operations say nothing of how well a browser works. */
export function isFinished({ status }: PerformanceEntry): boolean {
  return status !== "running" && status !== "aborted";
}

/** A recovered operation gave its caller the right answer. */
export function succeeded({ status }: PerformanceEntry): boolean {
  return status === "completed" || status === "recovered";
}

/** How long successful operations took, in the order in which they were recorded. */
export function durationsOf(entries: readonly PerformanceEntry[]): number[] {
  return entries.flatMap((entry) => (succeeded(entry) && entry.durationMs !== null ? [entry.durationMs] : []));
}

/** 0 to 1 over finished operations; null where none has finished. */
export function successRateOf(entries: readonly PerformanceEntry[]): number | null {
  const finished = entries.filter(isFinished);
  return finished.length === 0 ? null : finished.filter(succeeded).length / finished.length;
}

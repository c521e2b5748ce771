/** What came of the faults, out of what the pages told. */
import type { SessionEvent } from "../../src/protocol/events.ts";

/** `[work, begun, ended]`, epoch milliseconds. */
export type Answer = readonly [work: string, begun: number, ended: number];

export interface Told {
  readonly work: string;
  readonly at: number;
  readonly event: SessionEvent;
}

export interface TypedError {
  readonly work: string;
  readonly at: number;
  readonly typed: boolean;
  readonly code: string;
  readonly category: string;
  readonly message: string;
}

/** One fault that was injected. */
export interface Injected {
  readonly kind: string;
  readonly at: number;
  /** When its cause was gone; a kill's is at once. */
  readonly over: number;
  /** Its cause is not gone yet. */
  readonly lasts: boolean;
  /** Whose answers show that it is over; empty: it is over when its cause is gone. */
  readonly works: readonly string[];
  readonly failed: boolean;
}

export interface Outcome extends Injected {
  /** Until each of its works gave an answer that it had a part in; null: one did not. */
  readonly recoveredMs: number | null;
}

/** So late a host's loss may be told after the fault that caused it. */
const TOLD_WITHIN_MS = 15_000;
/** A recovery is told once an answer has proved it, so this much after that answer at most. */
const PROVED_BEFORE_MS = 200;

export function outcomeOf(fault: Injected, answers: readonly Answer[], events: readonly Told[]): Outcome {
  if (fault.failed || fault.lasts) return { ...fault, recoveredMs: null };
  const ends = fault.works.map((work) =>
    endFor(
      fault,
      answers.filter(([of]) => of === work),
      events.filter((told) => told.work === work),
    ),
  );
  const end = Math.max(fault.works.length === 0 ? fault.over : 0, ...ends);
  return { ...fault, recoveredMs: Number.isFinite(end) ? end - fault.at : null };
}

/** The end of the first answer that the fault had a part in; Infinity: there is none. */
function endFor(fault: Injected, answers: readonly Answer[], events: readonly Told[]): number {
  const after = events.filter(({ at }) => at > fault.at && at < fault.over + TOLD_WITHIN_MS);
  const lost = after.find(({ event }) => event.type === "fault" || isBridge(event, "lost"));
  const first = (isWanted: (answer: Answer) => boolean) => answers.find(isWanted)?.[2] ?? Number.POSITIVE_INFINITY;
  if (lost === undefined) return first(([, begun]) => begun > fault.at);
  const back = events.find(
    ({ at, event }) => at >= lost.at && (event.type === "recovered" || isBridge(event, "restored")),
  );
  if (back === undefined) return first(([, begun]) => begun > lost.at);
  return first(([, , ended]) => ended > Math.max(lost.at, back.at - PROVED_BEFORE_MS));
}

function isBridge(event: SessionEvent, state: "lost" | "restored"): boolean {
  return event.type === "bridge" && event.state === state;
}

export interface Counts {
  readonly tokens: number;
  readonly runs: number;
  readonly missing: number;
  readonly doubled: number;
  readonly wrong: number;
}

/** One run of the command; several of them can be summed. */
export interface Report extends Counts {
  readonly level: string;
  readonly seeds: readonly number[];
  readonly minutes: number;
  readonly date: string;
  readonly outcomes: readonly Outcome[];
  /** What the page was told that the fault table did not predict. */
  readonly errors: readonly TypedError[];
  readonly predictedErrors: number;
  /** What was wrong, in words. */
  readonly wrongs: readonly { readonly work: string; readonly at: number; readonly what: string }[];
}

export interface Figures {
  readonly level: string;
  readonly seeds: readonly number[];
  readonly minutes: number;
  readonly date: string;
  readonly faults: { readonly injected: number; readonly recovered: number };
  readonly byKind: Readonly<Record<string, KindFigures>>;
  readonly recoveryMs: Percentiles;
  readonly answers: { readonly tokens: number; readonly runs: number };
  readonly tokens: { readonly missing: number; readonly doubled: number; readonly wrong: number };
  readonly typedErrors: { readonly predicted: number; readonly unpredicted: number };
}

interface Percentiles {
  readonly p50: number | null;
  readonly p95: number | null;
}

interface KindFigures {
  readonly injected: number;
  readonly recovered: number;
  readonly recoveryMs: Percentiles;
}

export function sumOf(reports: readonly Report[]): Report {
  const [first, ...others] = reports;
  if (first === undefined) throw new Error("there is no report to sum");
  const levels = new Set(reports.map(({ level }) => level));
  return others.reduce<Report>(
    (sum, one) => ({
      level: [...levels].join(", "),
      seeds: [...sum.seeds, ...one.seeds],
      minutes: sum.minutes + one.minutes,
      date: one.date,
      tokens: sum.tokens + one.tokens,
      runs: sum.runs + one.runs,
      missing: sum.missing + one.missing,
      doubled: sum.doubled + one.doubled,
      wrong: sum.wrong + one.wrong,
      outcomes: [...sum.outcomes, ...one.outcomes],
      errors: [...sum.errors, ...one.errors],
      predictedErrors: sum.predictedErrors + one.predictedErrors,
      wrongs: [...sum.wrongs, ...one.wrongs],
    }),
    first,
  );
}

export function figuresOf(report: Report): Figures {
  const { level, seeds, minutes, date, outcomes } = report;
  const kinds = [...new Set(outcomes.map(({ kind }) => kind))].sort();
  const of = (some: readonly Outcome[]): KindFigures => {
    const times = some.flatMap(({ recoveredMs }) => (recoveredMs === null ? [] : [recoveredMs]));
    return { injected: some.length, recovered: times.length, recoveryMs: percentilesOf(times) };
  };
  const { injected, recovered, recoveryMs } = of(outcomes);
  return {
    level,
    seeds,
    minutes,
    date,
    faults: { injected, recovered },
    byKind: Object.fromEntries(kinds.map((kind) => [kind, of(outcomes.filter((one) => one.kind === kind))])),
    recoveryMs,
    answers: { tokens: report.tokens, runs: report.runs },
    tokens: { missing: report.missing, doubled: report.doubled, wrong: report.wrong },
    typedErrors: { predicted: report.predictedErrors, unpredicted: report.errors.length },
  };
}

/** Nothing was lost, doubled or wrong, no error came that the table does not predict, and each fault was recovered from. */
export function isClean(figures: Figures): boolean {
  const { faults, tokens, typedErrors } = figures;
  const bad = tokens.missing + tokens.doubled + tokens.wrong + typedErrors.unpredicted;
  return bad === 0 && faults.injected > 0 && faults.recovered === faults.injected;
}

function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? null;
  return { p50: at(0.5), p95: at(0.95) };
}

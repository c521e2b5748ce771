import "./setup.ts";
import { parentPort, workerData } from "node:worker_threads";
import { Coverage } from "./coverage.ts";
import { play } from "./history.ts";
import { planHistory } from "./plan.ts";
import { shrink } from "./shrink.ts";

/** Which histories a worker plays: seeds `from`, `from + step`, … below `to`. */
export interface SimOrder {
  readonly from: number;
  readonly to: number;
  readonly step: number;
  /** Failures after which it stops; each is shrunk first if asked for. */
  readonly failuresMax: number;
  readonly shrinks: boolean;
  /** How many were played so far, for whoever watches. */
  readonly clock: Int32Array;
}

export type SimReport =
  | {
      readonly kind: "failure";
      readonly seed: number;
      readonly violations: readonly string[];
      readonly kept: readonly number[];
      readonly log: readonly string[];
    }
  | {
      readonly kind: "done";
      readonly histories: number;
      readonly events: number;
      readonly faults: number;
      readonly eventsMin: number;
      readonly coverage: Readonly<Record<string, number>>;
    };

/** Between two of these the worker's own event loop turns. */
const TURN_MS = 50;

const order = workerData as SimOrder;
const coverage = new Coverage();
const sums = { histories: 0, events: 0, faults: 0, eventsMin: Number.POSITIVE_INFINITY };
let failures = 0;
let seed = order.from;
let stray: string | null = null;

// What no one waits for must not fail either: here it is a fault of the history that was just played.
process.on("unhandledRejection", (error) => {
  stray ??= `unhandled: ${error instanceof Error ? error.message : String(error)}`;
});

function turn(): void {
  const until = performance.now() + TURN_MS;
  while (seed < order.to && failures < order.failuresMax && performance.now() < until) one();
  if (seed < order.to && failures < order.failuresMax) return void setImmediate(turn);
  if (stray !== null) tell({ kind: "failure", seed, violations: [stray], kept: [], log: [] });
  tell({ kind: "done", ...sums, coverage: coverage.counts });
}

function one(): void {
  const outcome = play(planHistory(seed));
  coverage.merge(outcome.coverage.counts);
  sums.histories++;
  sums.events += outcome.events;
  sums.faults += outcome.faults;
  sums.eventsMin = Math.min(sums.eventsMin, outcome.events);
  Atomics.add(order.clock, 0, 1);
  if (outcome.violations.length > 0) {
    failures++;
    const least = order.shrinks ? shrink(planHistory(seed)) : null;
    const { violations, log } = least?.outcome ?? outcome;
    tell({ kind: "failure", seed, violations, kept: least?.kept ?? [], log });
  }
  seed += order.step;
}

function tell(report: SimReport): void {
  parentPort?.postMessage(report);
}

setImmediate(turn);

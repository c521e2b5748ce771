import "./setup.ts";
import { parentPort, workerData } from "node:worker_threads";
import { emptyTable } from "./coverage.ts";
import { type Outcome, play } from "./history.ts";
import { type HistoryPlan, planHistory } from "./plan.ts";
import { shrink } from "./shrink.ts";

/** Which histories a worker plays. */
export interface SimOrder {
  readonly seeds: readonly number[] | { readonly from: number; readonly to: number; readonly step: number };
  /** Failures after which it stops; each is shrunk first if asked for. */
  readonly failuresMax: number;
  readonly shrinks: boolean;
  /** No history begins later than so many seconds after the first. */
  readonly seconds: number;
  /** Logs hold all that happened, of histories that held as well. */
  readonly verbose: boolean;
  /** How many were played so far, for whoever watches. */
  readonly clock: Int32Array;
}

export type SimReport =
  | { readonly kind: "log"; readonly log: readonly string[] }
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
      readonly faultsMin: number;
      readonly sessionsMin: number;
      readonly coverage: Readonly<Record<string, number>>;
    };

const order = workerData as SimOrder;
const coverage = emptyTable();
const NONE = Number.POSITIVE_INFINITY;
const sums = { histories: 0, events: 0, faults: 0, eventsMin: NONE, faultsMin: NONE, sessionsMin: NONE };
const begunAt = performance.now();
let failures = 0;
let played = 0;
let seed = 0;
let strays: string[] = [];

// What no one waits for must not fail either: here it is a fault of the history that was just played.
process.on("unhandledRejection", (error) => {
  strays.push(`unhandled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
});

/** One history each time that the worker's own event loop turns: what it left unhandled is known then. */
function turn(): void {
  const outcome = playOne();
  setImmediate(() => {
    const violations = [...outcome.violations, ...strays.splice(0, 1)];
    strays = [];
    if (violations.length > 0) failed({ ...outcome, violations });
    else if (order.verbose) tell({ kind: "log", log: outcome.log });
    played++;
    next();
  });
}

function next(): void {
  const { seeds } = order;
  const due = "from" in seeds ? seeds.from + played * seeds.step : seeds[played];
  const isLeft = due !== undefined && ("from" in seeds ? due < seeds.to : true);
  const isInTime = performance.now() - begunAt < order.seconds * 1000;
  if (isLeft && isInTime && failures < order.failuresMax) {
    seed = due;
    setImmediate(turn);
  } else tell({ kind: "done", ...sums, coverage });
}

function planned(): HistoryPlan {
  return { ...planHistory(seed), isVerbose: order.verbose };
}

function playOne(): Outcome {
  const outcome = play(planned());
  for (const cell of outcome.met) coverage[cell] = (coverage[cell] ?? 0) + 1;
  sums.histories++;
  sums.events += outcome.events;
  sums.faults += outcome.faults;
  sums.eventsMin = Math.min(sums.eventsMin, outcome.events);
  sums.faultsMin = Math.min(sums.faultsMin, outcome.faults);
  sums.sessionsMin = Math.min(sums.sessionsMin, outcome.sessions);
  Atomics.add(order.clock, 0, 1);
  return outcome;
}

function failed(outcome: Outcome): void {
  failures++;
  const isStray = outcome.violations.every((violation) => violation.startsWith("unhandled"));
  // What is unhandled is known too late to leave out faults one after the other.
  const least = order.shrinks && !isStray ? shrink(planned()) : null;
  const { violations, log } = least?.outcome ?? outcome;
  tell({
    kind: "failure",
    seed,
    violations,
    kept: least?.kept ?? planned().faults.map((_, index) => index),
    log,
  });
}

function tell(report: SimReport): void {
  parentPort?.postMessage(report);
}

next();

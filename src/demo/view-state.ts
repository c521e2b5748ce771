/** What the demo shows of a session, as a pure function of the session's events. */
import type { FaultInfo, SessionEvent, StageInfo } from "../protocol/events.ts";
import { bytes, shortId } from "./words.ts";

export type BoxState = "vacant" | "starting" | "ready" | "lost" | "recovering";

export interface Box {
  readonly stage: number;
  readonly state: BoxState;
  /** Null until the stage has a host. */
  readonly info: StageInfo | null;
}

/** A fault as the text, the lanes and the log show it: numbered, so that the three can be told to belong together. */
export interface FaultMark extends FaultInfo {
  readonly number: number;
  /** Tokens the page had received when it heard of the fault. */
  readonly afterTokens: number;
  readonly recovered: { readonly at: number; readonly ms: number } | null;
}

export interface Change {
  readonly stage: number;
  readonly state: BoxState;
  readonly at: number;
}

export interface LogEntry {
  readonly at: number;
  readonly kind: "info" | "fault" | "recovered";
  readonly text: string;
  readonly ms: number | null;
}

export interface ViewState {
  /** What the log calls a stage, where there is more than one session. */
  readonly stageWord: string;
  readonly startedAt: number;
  readonly boxes: readonly Box[];
  readonly faults: readonly FaultMark[];
  readonly changes: readonly Change[];
  readonly log: readonly LogEntry[];
  /** What is being loaded, in words; null when nothing is. */
  readonly loading: string | null;
}

const LOG_MAX = 200;
const CHANGES_MAX = 400;

const LOADING = {
  download: "Fetching the model",
  plan: "Finding where to cut",
  hosts: "Opening hosts",
  weights: "Handing out weights",
} as const;

export function emptyView(stages: number, now: number, stageWord = "Stage"): ViewState {
  const boxes = Array.from({ length: stages }, (_, stage): Box => ({ stage, state: "vacant", info: null }));
  return { stageWord, startedAt: now, boxes, faults: [], changes: [], log: [], loading: null };
}

/** A new run on the hosts that are there: what happened before it is not shown any more. */
export function startRun(view: ViewState, now: number): ViewState {
  const changes = view.boxes.map(({ stage, state }): Change => ({ stage, state, at: now }));
  return { ...view, startedAt: now, faults: [], log: [], changes, loading: null };
}

export function applyEvent(view: ViewState, event: SessionEvent, now: number, tokens: number): ViewState {
  switch (event.type) {
    case "progress":
      return withLoading(view, event, now);
    case "stage":
      return withStage(view, event.stage, now);
    case "fault": {
      const mark: FaultMark = { ...event, number: view.faults.length + 1, afterTokens: tokens, recovered: null };
      const text = `${view.stageWord} ${event.stage + 1} lost host ${shortId(event.hostId)}: ${event.signal}`;
      const lost = withState({ ...view, faults: [...view.faults, mark] }, event.stage, "lost", event.at);
      return noted(lost, { at: event.at, kind: "fault", text, ms: null });
    }
    case "recovering": {
      const text = `${view.stageWord} ${event.stage + 1}: ${event.step}, attempt ${event.attempt}`;
      return noted(withState(view, event.stage, "recovering", now), { at: now, kind: "info", text, ms: null });
    }
    case "verifying":
      return view;
    case "recovered": {
      const faults = markRecovered(view.faults, event.stage, now, event.ms);
      const runs = `${event.replayedRuns} ${event.replayedRuns === 1 ? "run" : "runs"} replayed from run ${event.restoredRun}`;
      const text = `${view.stageWord} ${event.stage + 1} holds again on host ${shortId(event.hostId)}, ${runs}`;
      return noted(withState({ ...view, faults }, event.stage, "ready", now), {
        at: now,
        kind: "recovered",
        text,
        ms: event.ms,
      });
    }
    case "checkpointFailed": {
      const text = `${view.stageWord} ${event.stage + 1} could not store its state: ${event.error.message}`;
      return noted(view, { at: now, kind: "info", text, ms: null });
    }
    case "provider":
      return noted(view, {
        at: now,
        kind: "info",
        text: `${view.stageWord} ${event.stage + 1} computes on ${event.to} now, not ${event.from}`,
        ms: null,
      });
    case "migration": {
      if (event.phase === "begun") return view;
      const stages = event.stages.map((stage) => stage + 1).join(", ");
      const text =
        event.phase === "done"
          ? `${view.stageWord} ${stages} moved to another host, with its state (${event.reason})`
          : `${view.stageWord} ${stages} could not be moved (${event.reason})`;
      return noted(view, { at: now, kind: "info", text, ms: event.ms });
    }
    case "bridge":
      return event.state === "lost"
        ? noted(view, { at: now, kind: "fault", text: "The bridge to the extension was lost", ms: null })
        : noted(view, { at: now, kind: "recovered", text: "The bridge is back", ms: event.ms });
    case "failed":
      return noted(view, { at: now, kind: "fault", text: `${event.error.code}: ${event.error.message}`, ms: null });
    case "durable":
    case "parked":
    case "resumed":
      return view;
  }
}

function withLoading(view: ViewState, event: SessionEvent & { type: "progress" }, now: number): ViewState {
  const of = event.totalBytes === null ? "" : ` of ${bytes(event.totalBytes)}`;
  const counts = event.phase === "download" || event.phase === "weights";
  const amount = counts && event.loadedBytes > 0 ? `, ${bytes(event.loadedBytes)}${of}` : "";
  const stage = event.stage === null ? "" : ` of stage ${event.stage + 1}`;
  const loading = { ...view, loading: `${LOADING[event.phase]}${stage}${amount}` };
  if (event.phase === "download" || event.phase === "plan") return loading;
  // Hosts are being opened, though none has a name yet.
  return view.boxes
    .filter((box) => box.state === "vacant" && (event.stage ?? box.stage) === box.stage)
    .reduce<ViewState>((next, box) => withState(next, box.stage, "starting", now), loading);
}

export function noted(view: ViewState, entry: LogEntry): ViewState {
  return { ...view, log: [...view.log, entry].slice(-LOG_MAX) };
}

function withStage(view: ViewState, info: StageInfo, now: number): ViewState {
  const before = view.boxes.find(({ stage }) => stage === info.stage);
  const boxes = [
    ...view.boxes.filter(({ stage }) => stage !== info.stage),
    { stage: info.stage, state: before?.state ?? "vacant", info },
  ];
  boxes.sort((a, b) => a.stage - b.stage);
  // A new host is starting or even ready, but the stage has recovered only when "recovered" says so: the replay comes between.
  const mending = before?.state === "recovering" || before?.state === "lost";
  const state = mending && info.phase !== "lost" ? "recovering" : info.phase;
  return withState({ ...view, boxes }, info.stage, state, now);
}

function withState(view: ViewState, stage: number, state: BoxState, at: number): ViewState {
  if (view.boxes.find((box) => box.stage === stage)?.state === state) return view;
  const boxes = view.boxes.map((box) => (box.stage === stage ? { ...box, state } : box));
  return { ...view, boxes, changes: [...view.changes, { stage, state, at }].slice(-CHANGES_MAX) };
}

/** Several faults of one stage may end in one recovery. */
function markRecovered(faults: readonly FaultMark[], stage: number, at: number, ms: number): FaultMark[] {
  return faults.map((fault) =>
    fault.stage === stage && fault.recovered === null ? { ...fault, recovered: { at, ms } } : fault,
  );
}

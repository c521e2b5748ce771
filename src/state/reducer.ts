import { assertNever } from "../base/errors.ts";
import { STATUS_ROWS_MAX } from "../base/limits.ts";
import type { HostStatus } from "../protocol/popup.ts";
import type { BrowserChange } from "./browser-record.ts";
import { applyBrowserChange, moveContent, newBrowser, without } from "./browser-reducer.ts";
import { appendIds } from "./id-list.ts";
import type { Stamp } from "./log-record.ts";
import type {
  PoolHost,
  PoolState,
  SessionRecord,
  StageAssignment,
  StageRecord,
  TransactionBody,
} from "./pool-state.ts";

/** Of a host whose browser was not told. */
const UNKNOWN_TYPE = "unknown";

/**
 * The one way in which the pool's state changes. Pure: replaying a journal gives the same state. What concerns a host as the
 * seed's browser instance is done by the reducer of those.
 */
export function applyTransaction(state: PoolState, transaction: TransactionBody & Partial<Stamp>): PoolState {
  const { action, data, timestamp: at } = transaction;
  switch (action) {
    case "add_browser": {
      const { browserType = UNKNOWN_TYPE, status } = data;
      const host = { ...newBrowser(browserType, at ?? data.openedAt), ...data, browserType, status };
      return { ...withoutSpare(state, data.hostId), hosts: { ...state.hosts, [data.hostId]: host } };
    }
    case "set_spare":
      return {
        ...state,
        hosts: without(state.hosts, data.hostId),
        spares: { ...state.spares, [data.hostId]: data },
      };
    case "remove_spare":
      return withoutSpare(state, data.hostId);
    case "update_browser_status": {
      const next = withChange(state, { action, data }, at);
      return "tabId" in data && data.tabId !== undefined ? withHost(next, data.hostId, { tabId: data.tabId }) : next;
    }
    case "remove_browser":
      return { ...state, hosts: without(state.hosts, data.hostId) };
    case "add_model_to_browser":
      return "sessionId" in data ? assignStage(state, data, at) : withChange(state, { action, data }, at);
    case "remove_model_from_browser":
    case "add_operation_to_browser":
    case "complete_browser_operation":
    case "add_resource_to_browser":
    case "remove_resource_from_browser":
    case "update_browser_resources":
    case "update_browser_metrics":
    case "heartbeat":
    case "create_browser_checkpoint":
    case "restore_browser_checkpoint":
      return withChange(state, { action, data } as BrowserChange, at);
    case "migrate_browser_state":
      return { ...state, hosts: moveContent(state.hosts, data) };
    case "stage_ready": {
      const { sessionId, provider, weightBytes } = data;
      const hostId = state.sessions[sessionId]?.stages[data.stage]?.hostId;
      const next = withStage(state, sessionId, data.stage, (stage) => ({
        ...stage,
        phase: "ready",
        provider,
        weightBytes,
      }));
      if (hostId === undefined) return next;
      const operationId = loadId({ sessionId, stage: data.stage });
      const loaded: BrowserChange = {
        action: "complete_browser_operation",
        data: { hostId, operationId, status: "completed" },
      };
      return withStatus(withChange(next, loaded, at), hostId, "running", at);
    }
    case "stage_fault": {
      const next = withStage(state, data.sessionId, data.stage, (stage) => ({ ...stage, phase: "lost" }));
      return withStatus(
        { ...next, faults: [data, ...state.faults].slice(0, STATUS_ROWS_MAX) },
        data.hostId,
        "failed",
        at,
      );
    }
    case "stage_recovered": {
      const index = state.faults.findIndex(
        (fault) => fault.sessionId === data.sessionId && fault.stage === data.stage && fault.recoveredMs === null,
      );
      return {
        ...state,
        faults: state.faults.map((fault, at) => (at === index ? { ...fault, recoveredMs: data.ms } : fault)),
      };
    }
    case "open_session":
      return { ...state, sessions: { ...state.sessions, [data.sessionId]: data } };
    case "plan_session":
      return withSession(state, data.sessionId, { planId: data.planId, plan: data.plan });
    case "update_session": {
      const { sessionId, at, ...changes } = data;
      return withSession(state, sessionId, { ...changes, changedAt: at });
    }
    case "add_tokens": {
      const { sessionId, durableRun, base, promptIds, ids, generation } = data;
      const session = state.sessions[sessionId];
      if (session === undefined) return state;
      // A report that overlaps what is known (a new driver repeats it) overwrites, never doubles.
      return withSession(state, sessionId, {
        durableRun,
        promptIds: promptIds ?? session.promptIds,
        ids: appendIds(session.ids, promptIds === null ? base : 0, ids),
        ...(generation === undefined ? {} : { generation }),
      });
    }
    case "remove_session":
      return { ...state, sessions: without(state.sessions, data.sessionId) };
    case "set_consent":
      return { ...state, consents: { ...state.consents, [data.origin]: { allowed: data.allowed, at: data.at } } };
    case "remove_consent":
      return { ...state, consents: without(state.consents, data.origin) };
    case "refuse":
      return { ...state, refusals: [data, ...state.refusals].slice(0, STATUS_ROWS_MAX) };
    case "repair_log":
      return { ...state, repairs: [{ ...data, at: at ?? 0 }, ...state.repairs].slice(0, STATUS_ROWS_MAX) };
    default:
      return assertNever(action);
  }
}

/** The model id of a stage, in the seed's sense: what a host carries. */
export function stageModelId({ sessionId, stage }: Pick<StageAssignment, "sessionId" | "stage">): string {
  return `${sessionId}/${stage}`;
}

/** A host takes a stage over, and with it what the host before it was doing for the session. */
function assignStage(state: PoolState, data: StageAssignment, at: number | undefined): PoolState {
  const { sessionId, stage, hostId, attempt } = data;
  const session = state.sessions[sessionId];
  const before = session?.stages[stage];
  // What the last host ran on is kept until the new one is ready: only so can a change be told.
  const record: StageRecord = {
    hostId,
    attempt,
    phase: "starting",
    provider: before?.provider ?? null,
    weightBytes: 0,
  };
  const modelId = stageModelId(data);
  const modelState = { model: session?.model ?? "", sessionId, stage, attempt };
  const operation = { type: "load", sessionId, stage, attempt };
  const hosts = before === undefined ? state.hosts : moveContent(state.hosts, { fromHostId: before.hostId, hostId });
  const named = withChange(
    { ...state, hosts },
    { action: "add_model_to_browser", data: { hostId, modelId, modelState } },
    at,
  );
  const loading = withChange(
    named,
    { action: "add_operation_to_browser", data: { hostId, operationId: loadId(data), operation } },
    at,
  );
  return withStage(withStatus(loading, hostId, "recovering", at), sessionId, stage, () => record);
}

function withoutSpare(state: PoolState, hostId: string): PoolState {
  return state.spares?.[hostId] === undefined ? state : { ...state, spares: without(state.spares, hostId) };
}

/** One at a time for each stage: a load that is begun anew takes the place of the one before. */
function loadId(stage: Pick<StageAssignment, "sessionId" | "stage">): string {
  return `load ${stageModelId(stage)}`;
}

function withChange(state: PoolState, change: BrowserChange, at: number | undefined): PoolState {
  return { ...state, hosts: applyBrowserChange(state.hosts, change, at) };
}

function withStatus(state: PoolState, hostId: string, status: HostStatus, at: number | undefined): PoolState {
  return withChange(state, { action: "update_browser_status", data: { hostId, status } }, at);
}

function withHost(state: PoolState, hostId: string, changes: Partial<PoolHost>): PoolState {
  const host = state.hosts[hostId];
  return host === undefined ? state : { ...state, hosts: { ...state.hosts, [hostId]: { ...host, ...changes } } };
}

function withSession(state: PoolState, sessionId: string, changes: Partial<SessionRecord>): PoolState {
  const session = state.sessions[sessionId];
  return session === undefined
    ? state
    : { ...state, sessions: { ...state.sessions, [sessionId]: { ...session, ...changes } } };
}

function withStage(
  state: PoolState,
  sessionId: string,
  index: number,
  change: (stage: StageRecord) => StageRecord,
): PoolState {
  const session = state.sessions[sessionId];
  if (session === undefined) return state;
  const stages = [...session.stages];
  stages[index] = change(
    stages[index] ?? { hostId: "", attempt: 0, phase: "starting", provider: null, weightBytes: 0 },
  );
  return withSession(state, sessionId, { stages });
}

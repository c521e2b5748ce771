import { assertNever } from "../base/errors.ts";
import { STATUS_ROWS_MAX } from "../base/limits.ts";
import { appendIds } from "./id-list.ts";
import type { HostRecord, PoolState, SessionRecord, StageRecord, TransactionBody } from "./pool-state.ts";

/** The one way in which the pool's state changes. Pure: replaying a journal gives the same state. */
export function applyTransaction(state: PoolState, { action, data }: TransactionBody): PoolState {
  switch (action) {
    case "add_browser":
      return { ...state, hosts: { ...state.hosts, [data.hostId]: data } };
    case "update_browser_status":
      return withHost(state, data.hostId, {
        status: data.status,
        ...(data.tabId === undefined ? {} : { tabId: data.tabId }),
      });
    case "remove_browser":
      return { ...state, hosts: without(state.hosts, data.hostId) };
    case "add_model_to_browser": {
      const stage: StageRecord = {
        hostId: data.hostId,
        attempt: data.attempt,
        phase: "starting",
        // What the last host ran on, until the new one is ready: only so can a change be told.
        provider: state.sessions[data.sessionId]?.stages[data.stage]?.provider ?? null,
        weightBytes: 0,
      };
      return withStage(withHost(state, data.hostId, { status: "recovering" }), data.sessionId, data.stage, () => stage);
    }
    case "stage_ready": {
      const { sessionId, provider, weightBytes } = data;
      const hostId = state.sessions[sessionId]?.stages[data.stage]?.hostId;
      const next = withStage(state, sessionId, data.stage, (stage) => ({
        ...stage,
        phase: "ready",
        provider,
        weightBytes,
      }));
      return hostId === undefined ? next : withHost(next, hostId, { status: "running" });
    }
    case "stage_fault": {
      const next = withStage(state, data.sessionId, data.stage, (stage) => ({ ...stage, phase: "lost" }));
      return withHost({ ...next, faults: [data, ...state.faults].slice(0, STATUS_ROWS_MAX) }, data.hostId, {
        status: "failed",
      });
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
      const { sessionId, durableRun, base, promptIds, ids } = data;
      const session = state.sessions[sessionId];
      if (session === undefined) return state;
      // A report that overlaps what is known (a new driver repeats it) overwrites, never doubles.
      return withSession(state, sessionId, {
        durableRun,
        promptIds: promptIds ?? session.promptIds,
        ids: appendIds(session.ids, promptIds === null ? base : 0, ids),
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
    default:
      return assertNever(action);
  }
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  const { [key]: _, ...rest } = record;
  return rest;
}

function withHost(state: PoolState, hostId: string, changes: Partial<HostRecord>): PoolState {
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

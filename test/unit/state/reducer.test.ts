import { describe, expect, it } from "vitest";
import { STATUS_ROWS_MAX } from "../../../src/base/limits.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import {
  EMPTY_POOL,
  type FaultRecord,
  type HostRecord,
  type PoolState,
  type SessionRecord,
  type TransactionBody,
} from "../../../src/state/pool-state.ts";
import { applyTransaction } from "../../../src/state/reducer.ts";
import { Random } from "../random.ts";

const SESSION: SessionRecord = {
  sessionId: "s0",
  secret: "secret",
  origin: "https://site.example",
  model: "model",
  options: parseSessionOptions({}),
  status: "opening",
  bridgeId: "b",
  ownerLostAt: null,
  planId: null,
  plan: null,
  stages: [],
  gpuLosses: 0,
  durableRun: -1,
  promptIds: [],
  ids: [],
  changedAt: 0,
};
const HOST: HostRecord = {
  hostId: "h0",
  place: "tab",
  tabId: null,
  origin: SESSION.origin,
  sessionId: "s0",
  stage: 0,
  status: "initialized",
  openedAt: 0,
};
const FAULT: FaultRecord = {
  sessionId: "s0",
  stage: 0,
  hostId: "h0",
  category: "CRASH",
  signal: "frame process gone",
  at: 1,
  recoveredMs: null,
};

function play(...bodies: TransactionBody[]): PoolState {
  return bodies.reduce(applyTransaction, EMPTY_POOL);
}
const OPEN: TransactionBody[] = [
  { action: "open_session", data: SESSION },
  { action: "add_browser", data: HOST },
  { action: "add_model_to_browser", data: { sessionId: "s0", stage: 0, hostId: "h0", attempt: 0 } },
];
const READY: TransactionBody = {
  action: "stage_ready",
  data: { sessionId: "s0", stage: 0, provider: "wasm", weightBytes: 9 },
};

describe("a stage", () => {
  it("starts, is ready, is lost and starts again in another host", () => {
    expect(play(...OPEN).sessions["s0"]?.stages).toMatchObject([{ hostId: "h0", attempt: 0, phase: "starting" }]);
    expect(play(...OPEN, READY)).toMatchObject({
      sessions: { s0: { stages: [{ phase: "ready", provider: "wasm", weightBytes: 9 }] } },
      hosts: { h0: { status: "running" } },
    });
    const lost = play(...OPEN, READY, { action: "stage_fault", data: FAULT });
    expect(lost).toMatchObject({
      sessions: { s0: { stages: [{ phase: "lost" }] } },
      hosts: { h0: { status: "failed" } },
    });
    const again = applyTransaction(lost, {
      action: "add_model_to_browser",
      data: { sessionId: "s0", stage: 0, hostId: "h1", attempt: 1 },
    });
    // The provider is remembered, so that a change can be told.
    expect(again.sessions["s0"]?.stages[0]).toMatchObject({
      hostId: "h1",
      attempt: 1,
      phase: "starting",
      provider: "wasm",
    });
  });
});

describe("token ids", () => {
  const tokens = (base: number, promptIds: number[] | null, ids: number[]): TransactionBody => ({
    action: "add_tokens",
    data: { sessionId: "s0", durableRun: base, base, promptIds, ids },
  });
  it("are appended at their place, and a report that overlaps overwrites", () => {
    const state = play(...OPEN, tokens(0, [5, 6], []), tokens(0, null, [1, 2, 3]), tokens(2, null, [3, 4]));
    expect(state.sessions["s0"]).toMatchObject({ promptIds: [5, 6], ids: [1, 2, 3, 4], durableRun: 2 });
  });
  it("of a new prompt replace those before", () => {
    const state = play(...OPEN, tokens(0, [5], [1, 2]), tokens(0, [7], [9]));
    expect(state.sessions["s0"]).toMatchObject({ promptIds: [7], ids: [9] });
  });
});

describe("faults and refusals", () => {
  it("are kept newest first, within a bound", () => {
    const many = Array.from({ length: STATUS_ROWS_MAX + 5 }, (_, at): TransactionBody[] => [
      { action: "stage_fault", data: { ...FAULT, at } },
      { action: "refuse", data: { at, origin: "o", code: "PERMISSION_DENIED", reason: "r" } },
    ]).flat();
    const { faults, refusals } = play(...OPEN, ...many);
    expect([faults.length, refusals.length]).toEqual([STATUS_ROWS_MAX, STATUS_ROWS_MAX]);
    expect([faults[0]?.at, refusals[0]?.at]).toEqual([STATUS_ROWS_MAX + 4, STATUS_ROWS_MAX + 4]);
  });
  it("a recovery is noted at the newest open fault of its stage", () => {
    const state = play(
      ...OPEN,
      { action: "stage_fault", data: FAULT },
      { action: "stage_fault", data: { ...FAULT, at: 2 } },
      { action: "stage_recovered", data: { sessionId: "s0", stage: 0, ms: 40 } },
    );
    expect(state.faults.map(({ recoveredMs }) => recoveredMs)).toEqual([40, null]);
  });
});

it("what speaks of a session or host that is gone changes nothing", () => {
  for (const late of [...OPEN.slice(2), READY, { action: "remove_session", data: { sessionId: "s0" } } as const])
    expect(play(late)).toEqual(EMPTY_POOL);
});

it("consents are given, withdrawn and given again", () => {
  const given: TransactionBody = { action: "set_consent", data: { origin: "o", allowed: true, at: 1 } };
  expect(play(given).consents).toEqual({ o: { allowed: true, at: 1 } });
  expect(play(given, { action: "remove_consent", data: { origin: "o" } }).consents).toEqual({});
});

it("replaying a journal gives the same state, from any snapshot on", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const journal = Array.from({ length: 60 }, () => anything(random));
    let state = EMPTY_POOL;
    const states = journal.map((body) => {
      state = applyTransaction(state, body);
      return state;
    });
    const snapshot = random.below(journal.length);
    // As it comes out of storage.
    const restored = structuredClone(states[snapshot] as PoolState);
    const replayed = structuredClone(journal.slice(snapshot + 1)).reduce(applyTransaction, restored);
    expect(replayed, `seed ${seed}`).toEqual(states.at(-1));
    expect(journal.reduce(applyTransaction, EMPTY_POOL), `seed ${seed}`).toEqual(states.at(-1));
  }
});

function anything(random: Random): TransactionBody {
  const sessionId = `s${random.below(3)}`;
  const hostId = `h${random.below(5)}`;
  const stage = random.below(3);
  const at = random.below(1000);
  return random.pick<TransactionBody>([
    { action: "open_session", data: { ...SESSION, sessionId } },
    { action: "remove_session", data: { sessionId } },
    { action: "update_session", data: { sessionId, at, status: random.pick(["live", "parked"]) } },
    { action: "add_browser", data: { ...HOST, hostId, sessionId, stage } },
    { action: "update_browser_status", data: { hostId, status: "degraded", tabId: at } },
    { action: "remove_browser", data: { hostId } },
    { action: "add_model_to_browser", data: { sessionId, stage, hostId, attempt: random.below(4) } },
    { action: "stage_ready", data: { sessionId, stage, provider: "webgpu", weightBytes: at } },
    { action: "stage_fault", data: { ...FAULT, sessionId, stage, hostId, at } },
    { action: "stage_recovered", data: { sessionId, stage, ms: at } },
    { action: "add_tokens", data: { sessionId, durableRun: at, base: random.below(4), promptIds: null, ids: [at] } },
    { action: "set_consent", data: { origin: sessionId, allowed: random.chance(0.5), at } },
    { action: "remove_consent", data: { origin: sessionId } },
    { action: "refuse", data: { at, origin: sessionId, code: "PERMISSION_DENIED", reason: "no" } },
  ]);
}

import { describe, expect, it } from "vitest";
import { STATUS_ROWS_MAX } from "../../../src/base/limits.ts";
import type { PlanSummary } from "../../../src/shard/summary.ts";
import { EMPTY_POOL, type PoolState, type TransactionBody } from "../../../src/state/pool-state.ts";
import { applyTransaction } from "../../../src/state/reducer.ts";
import { fault, host, session } from "./records.ts";

const PLAN: PlanSummary = {
  strategy: "layer_based",
  reason: "as asked",
  shardsMax: 4,
  feeds: [],
  results: [],
  stateInputs: [],
  shards: [],
};

const replay = (list: readonly TransactionBody[], from: PoolState = EMPTY_POOL): PoolState =>
  list.reduce(applyTransaction, from);

const OPENED: readonly TransactionBody[] = [
  { action: "open_session", data: session("s") },
  { action: "plan_session", data: { sessionId: "s", planId: "p", plan: PLAN } },
  { action: "add_browser", data: host("h") },
  { action: "add_model_to_browser", data: { sessionId: "s", stage: 0, hostId: "h", attempt: 1 } },
];
const READY: readonly TransactionBody[] = [
  ...OPENED,
  { action: "stage_ready", data: { sessionId: "s", stage: 0, provider: "wasm", weightBytes: 7 } },
  { action: "update_session", data: { sessionId: "s", at: 5, status: "live" } },
];
const FAULTED: readonly TransactionBody[] = [...READY, { action: "stage_fault", data: fault() }];

describe("each transaction", () => {
  it.each<[string, readonly TransactionBody[], TransactionBody, object]>([
    ["adds a host", [], { action: "add_browser", data: host("h") }, { hosts: { h: host("h") } }],
    [
      "changes a host's status",
      OPENED,
      { action: "update_browser_status", data: { hostId: "h", status: "degraded" } },
      { hosts: { h: { status: "degraded", tabId: null } } },
    ],
    [
      "learns a host's tab",
      OPENED,
      { action: "update_browser_status", data: { hostId: "h", status: "running", tabId: 9 } },
      { hosts: { h: { status: "running", tabId: 9 } } },
    ],
    [
      "gives a stage to a host",
      OPENED.slice(0, 3),
      { action: "add_model_to_browser", data: { sessionId: "s", stage: 0, hostId: "h", attempt: 3 } },
      {
        hosts: { h: { status: "recovering" } },
        sessions: { s: { stages: [{ hostId: "h", attempt: 3, phase: "starting", provider: null, weightBytes: 0 }] } },
      },
    ],
    [
      "remembers what the last host ran on when another takes the stage over",
      FAULTED,
      { action: "add_model_to_browser", data: { sessionId: "s", stage: 0, hostId: "i", attempt: 2 } },
      {
        sessions: { s: { stages: [{ hostId: "i", attempt: 2, phase: "starting", provider: "wasm", weightBytes: 0 }] } },
      },
    ],
    [
      "makes a stage ready and its host running",
      OPENED,
      { action: "stage_ready", data: { sessionId: "s", stage: 0, provider: "webgpu", weightBytes: 7 } },
      {
        hosts: { h: { status: "running" } },
        sessions: { s: { stages: [{ hostId: "h", phase: "ready", provider: "webgpu", weightBytes: 7 }] } },
      },
    ],
    [
      "records a fault, loses the stage, fails the host",
      READY,
      { action: "stage_fault", data: fault() },
      {
        faults: [fault()],
        hosts: { h: { status: "failed" } },
        sessions: { s: { stages: [{ hostId: "h", phase: "lost" }] } },
      },
    ],
    [
      "says how long a recovery took",
      FAULTED,
      { action: "stage_recovered", data: { sessionId: "s", stage: 0, ms: 640 } },
      { faults: [{ recoveredMs: 640 }] },
    ],
    ["opens a session", [], { action: "open_session", data: session("s") }, { sessions: { s: session("s") } }],
    [
      "plans a session",
      [{ action: "open_session", data: session("s") }],
      { action: "plan_session", data: { sessionId: "s", planId: "p", plan: PLAN } },
      { sessions: { s: { planId: "p", plan: PLAN } } },
    ],
    [
      "changes of a session only what it names",
      READY,
      { action: "update_session", data: { sessionId: "s", at: 8, ownerLostAt: 7 } },
      { sessions: { s: { status: "live", bridgeId: "b", ownerLostAt: 7, changedAt: 8, gpuLosses: 0 } } },
    ],
    [
      "takes note of tokens",
      READY,
      { action: "add_tokens", data: { sessionId: "s", durableRun: 2, base: 0, promptIds: [5, 6], ids: [7] } },
      { sessions: { s: { durableRun: 2, promptIds: [5, 6], ids: [[7]] } } },
    ],
    [
      "allows an origin",
      [],
      { action: "set_consent", data: { origin: "https://a.example", allowed: true, at: 3 } },
      { consents: { "https://a.example": { allowed: true, at: 3 } } },
    ],
    [
      "records a refusal",
      [],
      { action: "refuse", data: { at: 1, origin: "o", code: "TOO_MANY_HOSTS", reason: "full" } },
      { refusals: [{ at: 1, origin: "o", code: "TOO_MANY_HOSTS", reason: "full" }] },
    ],
  ])("%s", (_, before, transaction, expected) => {
    expect(applyTransaction(replay(before), transaction)).toMatchObject(expected);
  });

  it("removes what it names and nothing else", () => {
    const state = replay([
      ...READY,
      { action: "add_browser", data: host("i") },
      { action: "open_session", data: session("t") },
      { action: "set_consent", data: { origin: "o", allowed: false, at: 1 } },
      { action: "remove_browser", data: { hostId: "h" } },
      { action: "remove_session", data: { sessionId: "s" } },
      { action: "remove_consent", data: { origin: "o" } },
    ]);
    expect([Object.keys(state.hosts), Object.keys(state.sessions), state.consents]).toEqual([["i"], ["t"], {}]);
  });
});

describe("an id that is not known", () => {
  it.each<TransactionBody>([
    { action: "update_browser_status", data: { hostId: "?", status: "failed" } },
    { action: "remove_browser", data: { hostId: "?" } },
    { action: "add_model_to_browser", data: { sessionId: "?", stage: 0, hostId: "?", attempt: 1 } },
    { action: "stage_ready", data: { sessionId: "?", stage: 0, provider: "wasm", weightBytes: 1 } },
    { action: "stage_recovered", data: { sessionId: "?", stage: 0, ms: 1 } },
    { action: "plan_session", data: { sessionId: "?", planId: "p", plan: PLAN } },
    { action: "update_session", data: { sessionId: "?", at: 1, status: "parked" } },
    { action: "add_tokens", data: { sessionId: "?", durableRun: 1, base: 0, promptIds: null, ids: [1] } },
    { action: "remove_session", data: { sessionId: "?" } },
    { action: "remove_consent", data: { origin: "?" } },
  ])("changes nothing: $action", (transaction) => {
    const state = replay(FAULTED);
    expect(applyTransaction(state, transaction)).toEqual(state);
  });

  it("of a faulted session is kept as a row to read, and nothing else changes", () => {
    const state = replay(READY);
    const next = applyTransaction(state, { action: "stage_fault", data: fault({ sessionId: "?", hostId: "?" }) });
    expect({ ...next, faults: [] }).toEqual({ ...state, faults: [] });
    expect(next.faults).toHaveLength(1);
  });
});

describe("tokens that are reported again", () => {
  const tokens = (
    base: number,
    ids: readonly number[],
    promptIds: readonly number[] | null = null,
  ): TransactionBody => ({
    action: "add_tokens",
    data: { sessionId: "s", durableRun: base, base, promptIds, ids },
  });
  it.each<[string, readonly TransactionBody[], readonly number[]]>([
    ["append", [tokens(0, [1, 2], [9]), tokens(2, [3])], [1, 2, 3]],
    ["overwrite where they overlap", [tokens(0, [1, 2, 3], [9]), tokens(1, [2, 3, 4])], [1, 2, 3, 4]],
    ["are the same told twice", [tokens(0, [1, 2], [9]), tokens(0, [1, 2])], [1, 2]],
    ["start anew with a new prompt", [tokens(0, [1, 2], [9]), tokens(0, [5], [8])], [5]],
    ["may carry the durable point alone", [tokens(0, [1, 2], [9]), tokens(2, [])], [1, 2]],
  ])("%s", (_, list, ids) => {
    expect(replay([...READY, ...list]).sessions["s"]?.ids.flat()).toEqual(ids);
  });
});

describe("the rows kept for people", () => {
  it("are the newest, newest first, and bounded", () => {
    const many = Array.from({ length: STATUS_ROWS_MAX + 5 }, (_, at) => at);
    const state = replay([
      ...many.map((at): TransactionBody => ({ action: "stage_fault", data: fault({ at }) })),
      ...many.map((at): TransactionBody => ({ action: "refuse", data: { at, origin: "o", code: "c", reason: "r" } })),
    ]);
    for (const rows of [state.faults, state.refusals]) {
      expect(rows.map(({ at }) => at)).toEqual(many.reverse().slice(0, STATUS_ROWS_MAX));
      many.reverse();
    }
  });

  it("mark the newest open fault of a stage as recovered, and only that", () => {
    const state = replay([
      ...READY,
      { action: "stage_fault", data: fault({ at: 1 }) },
      { action: "stage_fault", data: fault({ at: 2 }) },
      { action: "stage_fault", data: fault({ at: 3, stage: 1 }) },
      { action: "stage_recovered", data: { sessionId: "s", stage: 0, ms: 9 } },
    ]);
    expect(state.faults.map(({ at, recoveredMs }) => [at, recoveredMs])).toEqual([
      [3, null],
      [2, 9],
      [1, null],
    ]);
  });
});

describe("replaying a journal", () => {
  const list: readonly TransactionBody[] = [
    ...FAULTED,
    { action: "add_tokens", data: { sessionId: "s", durableRun: 0, base: 0, promptIds: [1], ids: [2, 3] } },
    { action: "add_model_to_browser", data: { sessionId: "s", stage: 0, hostId: "i", attempt: 2 } },
    { action: "stage_recovered", data: { sessionId: "s", stage: 0, ms: 3 } },
    { action: "remove_browser", data: { hostId: "h" } },
  ];

  it("gives an equal state, from any point and after the list went through storage", () => {
    const whole = replay(list);
    expect(replay(structuredClone(list))).toEqual(whole);
    for (let cut = 0; cut <= list.length; cut++) {
      const snapshot = structuredClone(replay(list.slice(0, cut)));
      expect(replay(list.slice(cut), snapshot)).toEqual(whole);
    }
  });

  it("leaves every state before it as it was", () => {
    const before = replay(READY);
    const copy = structuredClone(before);
    replay(list, before);
    expect(before).toEqual(copy);
  });
});

import { afterEach, describe, expect, it } from "vitest";
import { NEW_TOKENS_MAX, PROMPT_TOKENS_MAX } from "../../../src/base/limits.ts";
import { Driver } from "../../../src/driver/driver.ts";
import { ChannelWirer } from "../../../src/driver/wiring.ts";
import type { StageInfo } from "../../../src/protocol/events.ts";
import type { PoolCalls, SessionInfo } from "../../../src/protocol/pool.ts";
import { parseSessionOptions } from "../../../src/protocol/session-options.ts";
import { planOf, specsOf } from "./world/model.ts";

const LOST: StageInfo = {
  stage: 0,
  hostId: "h",
  place: "tab",
  phase: "lost",
  attempt: 0,
  provider: null,
  weightBytes: 0,
  nodes: 1,
};
const INFO: SessionInfo = {
  sessionId: "s",
  secret: "secret",
  plan: planOf(specsOf(1)),
  options: parseSessionOptions({}),
  stages: [LOST],
};
const REQUEST = { promptIds: [1], prompt: null, maxNewTokens: 1, temperature: 0, topK: 0, seed: 0, stopIds: [] };
const TOKENIZER = { json: {}, config: {} };

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** A page that speaks the client protocol by hand. */
function page() {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const asked: (keyof PoolCalls)[] = [];
  const reports: unknown[] = [];
  new Driver(
    {
      bridgeId: "b",
      origin: "https://evil.example",
      framedBy: null,
      callPool: async (method) => {
        asked.push(method);
        const answer = method === "openSession" || method === "attachSession" ? INFO : null;
        return answer as PoolCalls[typeof method]["result"];
      },
      reportToPool: (_, payload) => void reports.push(payload),
      wirer: new ChannelWirer({ toHost: () => undefined, toPage: () => undefined }),
      carryIngest: () => undefined,
      now: () => 0,
      wallNow: () => Date.now(),
    },
    port2,
  );
  let id = 0;
  const call = (method: string, params: unknown): Promise<{ value?: unknown; error?: { code: string } }> => {
    const own = ++id;
    return new Promise((resolve) => {
      port1.addEventListener("message", ({ data }) => data.id === own && resolve(data));
      port1.start();
      port1.postMessage({ rpc: "call", id: own, method, params });
    });
  };
  const emit = (name: string, payload: unknown): void => port1.postMessage({ rpc: "event", name, payload });
  return { call, emit, asked, reports, alive: () => call("ping", null) };
}

describe("a call that does not fit is refused and reaches no pool", () => {
  const ATTACH = { sessionId: "s", secret: "x", acked: -1, initialAt: -1, tokenizer: null };
  const GENERATE = { sessionId: "s", base: 0, request: REQUEST, ids: [], from: 0 };
  it.each([
    ["open", null],
    ["open", { openId: 5, model: "m", options: {}, tokenizer: null }],
    ["open", { openId: "x".repeat(1_000), model: "m", options: {}, tokenizer: null }],
    ["open", { openId: "o", model: {}, options: {}, tokenizer: null }],
    ["open", { openId: "o", model: "m", options: {}, tokenizer: "tokenizer.json" }],
    ["open", { openId: "o", model: "m", options: {}, tokenizer: TOKENIZER }],
    ["attach", { ...ATTACH, acked: "0" }],
    ["attach", { ...ATTACH, acked: Number.POSITIVE_INFINITY }],
    ["attach", { ...ATTACH, sessionId: ["s"] }],
    ["release", undefined],
    ["generate", { ...GENERATE, base: -1 }],
    ["generate", { ...GENERATE, base: 2 ** 60 }],
    ["generate", { ...GENERATE, ids: [0.5] }],
    ["generate", { ...GENERATE, ids: new Array(NEW_TOKENS_MAX + 1).fill(0) }],
    ["generate", { ...GENERATE, request: { ...REQUEST, maxNewTokens: NEW_TOKENS_MAX + 1 } }],
    ["generate", { ...GENERATE, request: { ...REQUEST, promptIds: new Array(PROMPT_TOKENS_MAX + 1).fill(0) } }],
    ["generate", { ...GENERATE, request: { ...REQUEST, temperature: Number.NaN } }],
    ["generate", { ...GENERATE, request: null }],
  ])("%s %#", async (method, params) => {
    const { call, asked, reports, alive } = page();
    expect(await call(method, params)).toMatchObject({ error: { code: "BAD_OPTIONS" } });
    expect(asked).toEqual([]);
    expect(reports).toEqual([]);
    expect(await alive()).toMatchObject({ value: null });
  });
  it.each(["__proto__", "constructor", "hasOwnProperty", "nothing"])("named %s", async (method) => {
    expect(await page().call(method, {})).toMatchObject({ error: { code: "INTERNAL" } });
  });
});

describe("an event that does not fit is ignored", () => {
  it.each([
    ["run", null],
    ["run", { sessionId: "s", run: "1", reset: true, error: null, acked: -1 }],
    ["run", { sessionId: "s", run: 1e300, reset: true, error: null, acked: -1 }],
    ["run", { sessionId: "s", run: 1, reset: true, error: { code: "toString" }, acked: -1 }],
    ["run", { sessionId: "s", run: 1, reset: true, error: null, acked: 0.5 }],
    ["history", { sessionId: "s", base: 0, promptIds: "many", ids: [], runs: 1 }],
    ["ack", { sessionId: "s", run: {} }],
    ["resume", { sessionId: { toString: null } }],
    ["ingest", { openId: "o" }],
    ["stopGeneration", 7],
    ["__proto__", {}],
  ])("%s %#", async (name, payload) => {
    const { emit, call, alive } = page();
    await call("attach", { sessionId: "s", secret: "secret", acked: -1, initialAt: -1, tokenizer: null });
    emit(name, payload);
    expect(await alive()).toMatchObject({ value: null });
  });
});

it("a session is driven once, however often it is taken up", async () => {
  const { call } = page();
  const attach = () => call("attach", { sessionId: "s", secret: "secret", acked: -1, initialAt: -1, tokenizer: null });
  const answers = await Promise.all([attach(), attach(), attach()]);
  expect(answers.map(({ error }) => error?.code ?? "attached").sort()).toEqual([
    "SESSION_IN_USE",
    "SESSION_IN_USE",
    "attached",
  ]);
});

it("sessions that are not this page's are unknown, and events for them change nothing", async () => {
  const { call, emit, asked } = page();
  emit("run", { sessionId: "__proto__", run: 0, reset: true, error: null, acked: -1 });
  emit("ack", { sessionId: "other", run: 5 });
  expect(await call("generate", { sessionId: "other", base: 0, request: REQUEST, ids: [], from: 0 })).toMatchObject({
    error: { code: "SESSION_UNKNOWN" },
  });
  expect(asked).toEqual([]);
});

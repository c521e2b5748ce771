import { loadSha256 } from "../../src/base/digest.ts";
import { parseSessionOptions } from "../../src/protocol/session-options.ts";
import { openJournal } from "../../src/state/journal.ts";
import { MemoryLogStorage } from "../../src/state/log-storage.ts";
import type { SessionRecord, TransactionBody } from "../../src/state/pool-state.ts";

const HOSTS = 4;

/** Reports of tokens that one generation makes, sixteen each. */
const REPORTS = 32;

/** A journal of `count` transactions: tokens of generations, one after another, their hosts' operations and memory. */
export async function busyJournal(count: number) {
  const storage = new MemoryLogStorage();
  let at = Date.now() - count;
  const needs = { storage, sha256: await loadSha256(), now: () => ++at, newId: () => crypto.randomUUID() };
  const journal = await openJournal(needs);
  await journal.append({ action: "open_session", data: session(at) });
  for (let sequence = 2; sequence <= count; sequence++) {
    const written = journal.append(transaction(sequence));
    if (sequence % 8 === 0) await written;
  }
  const { head, snapshots } = await storage.readPoints();
  return { head, snapshots, records: await storage.readRecords(0) };
}

function transaction(sequence: number): TransactionBody {
  const hostId = `host-${sequence % HOSTS}`;
  const report = (sequence >> 2) % REPORTS;
  const base = 16 * report;
  const promptIds = report === 0 ? Array.from({ length: 64 }, (_, index) => index) : null;
  const ids = Array.from({ length: 16 }, (_, index) => (base * 31 + index * 977) % 32_000);
  switch (sequence % 4) {
    case 0:
      return { action: "add_tokens", data: { sessionId: "bench", durableRun: base, base, promptIds, ids } };
    case 1:
      return {
        action: "add_operation_to_browser",
        data: { hostId, operationId: "generation", operation: { type: "generation", sessionId: "bench" } },
      };
    case 2:
      return {
        action: "update_browser_resources",
        data: { hostId, resources: { tensors: { type: "tensors", bytes: base } } },
      };
    default:
      return { action: "update_browser_metrics", data: { hostId, metrics: { runs: base, medianMs: 12.5 } } };
  }
}

function session(at: number): SessionRecord {
  return {
    sessionId: "bench",
    secret: "secret",
    origin: "https://bench.example",
    model: "model.onnx",
    options: parseSessionOptions({}),
    status: "parked",
    bridgeId: "bridge",
    openId: "open",
    ownerLostAt: at,
    planId: "plan",
    plan: null,
    stages: [],
    gpuLosses: 0,
    durableRun: -1,
    promptIds: [1, 2, 3],
    ids: [],
    changedAt: at,
  };
}

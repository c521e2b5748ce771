import { describe, expect, it } from "vitest";
import { loadSha256 } from "../../../src/base/digest.ts";
import { journalBrowserLog } from "../../../src/state/browser-log.ts";
import { BrowserStateManager } from "../../../src/state/browser-state-manager.ts";
import { JOURNAL_SCHEMA, openJournal } from "../../../src/state/journal.ts";
import { sealFirstSchema } from "../../../src/state/journal-format.ts";
import { exportTransaction } from "../../../src/state/log-export.ts";
import { sealHead, sealRecord, sealSnapshot } from "../../../src/state/log-record.ts";
import { MemoryLogStorage } from "../../../src/state/log-storage.ts";
import type { TransactionBody } from "../../../src/state/pool-state.ts";
import { fault, host, session } from "./records.ts";

const sha256 = await loadSha256();

const clock = { now: () => 1_620_000_000_123, newId: () => crypto.randomUUID() };
const open = (storage: MemoryLogStorage) => openJournal({ storage, sha256, ...clock });

/** What version 0.1.0 left in the database: objects, seconds, ids as one list, hosts without browser state. */
const FIRST = {
  snapshot: {
    sequence: 7,
    state: {
      hosts: { h: host("h", { status: "running" }) },
      sessions: { s: { ...session("s", { status: "live" }), ids: [4, 5] } },
      consents: { "https://a.example": { allowed: true, at: 3 } },
      faults: [],
      refusals: [],
    },
  },
  transactions: [
    { id: "8", timestamp: 1_620_000_000.5, sequence: 8, action: "add_browser", data: host("i", { stage: 1 }) },
    {
      id: "9",
      timestamp: 1_620_000_001,
      sequence: 9,
      action: "add_tokens",
      data: { sessionId: "s", durableRun: 2, base: 2, promptIds: null, ids: [6] },
    },
  ],
};

async function storageOf({ head, snapshot, records }: ReturnType<typeof sealFirstSchema>): Promise<MemoryLogStorage> {
  const storage = new MemoryLogStorage();
  await storage.write([
    ...records.map((record) => ({ put: "record" as const, record })),
    ...(snapshot === null ? [] : [{ put: "snapshot" as const, snapshot }]),
    { put: "head" as const, head },
  ]);
  return storage;
}

describe("a journal of the first schema", () => {
  it("is brought into the form of today with everything that it knew", async () => {
    const storage = await storageOf(sealFirstSchema(FIRST, sha256));
    const journal = await open(storage);
    expect(journal.damage).toEqual([]);
    expect(journal.state).toMatchObject({
      hosts: {
        h: { status: "running", browserType: "unknown", models: {}, operations: {}, checkpoints: [] },
        i: { stage: 1, lastHeartbeat: 1_620_000_000_500 },
      },
      sessions: { s: { status: "live", durableRun: 2 } },
      consents: { "https://a.example": { allowed: true } },
      repairs: [],
    });
    expect(journal.state.sessions["s"]?.ids.flat()).toEqual([4, 5, 6]);
    expect((await storage.readPoints()).head?.schema).toBe(JOURNAL_SCHEMA);
    const again = await open(storage);
    expect([again.state, again.damage, again.length]).toEqual([journal.state, [], 9]);
  });

  it("that is empty, or has no snapshot yet, is read as well", async () => {
    const empty = await open(await storageOf(sealFirstSchema({ snapshot: undefined, transactions: [] }, sha256)));
    expect([empty.length, empty.damage]).toEqual([0, []]);
    const [first] = FIRST.transactions;
    const young = { snapshot: undefined, transactions: [{ ...first, sequence: 1 }] };
    expect(Object.keys((await open(await storageOf(sealFirstSchema(young, sha256)))).state.hosts)).toEqual(["i"]);
  });
});

describe("a journal of the second schema", () => {
  it("is read, and brought into the form of today", async () => {
    const storage = new MemoryLogStorage();
    const journal = await open(storage);
    for (const body of LIST) await journal.append(body);
    // Its records are those of today but for the number of the schema; its snapshots did not count.
    const records = [];
    let chain = "";
    for (const { body, sequence } of await storage.readRecords(0)) {
      const record = sealRecord({ ...JSON.parse(body), sequence }, 2, chain, sha256);
      records.push({ put: "record" as const, record });
      chain = record.digest;
    }
    const first = { schema: 2, sequence: 2, chain: records[1]?.record.digest ?? "" };
    const before = await open(new MemoryLogStorage());
    for (const body of LIST.slice(0, 2)) await before.append(body);
    const snapshot = sealSnapshot({ ...first, body: JSON.stringify(before.state) }, sha256);
    const head = sealHead({ schema: 2, sequence: LIST.length, chain }, sha256);
    const old = new MemoryLogStorage();
    await old.write([...records, { put: "snapshot", snapshot }, { put: "head", head }]);
    const upgraded = await open(old);
    expect([upgraded.damage, upgraded.length]).toEqual([[], LIST.length]);
    expect(upgraded.state).toEqual(journal.state);
    expect((await old.readPoints()).head?.schema).toBe(JOURNAL_SCHEMA);
    expect((await open(old)).state).toEqual(journal.state);
  });
});

const LIST: readonly TransactionBody[] = [
  { action: "open_session", data: session("s", { model: "bert" }) },
  { action: "add_browser", data: host("h", { browserType: "chrome" }) },
  { action: "add_model_to_browser", data: { sessionId: "s", stage: 0, hostId: "h", attempt: 1 } },
  { action: "stage_ready", data: { sessionId: "s", stage: 0, provider: "wasm", weightBytes: 7 } },
];

async function pool() {
  const storage = new MemoryLogStorage();
  const journal = await open(storage);
  for (const body of LIST) await journal.append(body);
  const manager = new BrowserStateManager({ sha256, ...clock }, journalBrowserLog(journal));
  return { storage, journal, manager };
}

describe("the manager over the pool's journal", () => {
  it("shows the hosts, and what is changed through it is in the journal", async () => {
    const { storage, journal, manager } = await pool();
    expect(manager.getBrowserByModel("bert")).toMatchObject({
      browserId: "h",
      browserType: "chrome",
      status: "running",
    });
    manager.addResourceToBrowser("h", "tensors", { bytes: 8 });
    expect(journal.state.hosts["h"]).toMatchObject({ tabId: null, resources: { tensors: { bytes: 8 } } });
    expect(await manager.replayTransactions()).toMatchObject({ isSame: true, sequence: 5 });
    expect((await open(storage)).state).toEqual(journal.state);
  });

  it("puts a host back to what it had before it failed", async () => {
    const { journal, manager } = await pool();
    manager.addOperationToBrowser("h", "g", { type: "generation" });
    const digest = manager.digest("h");
    await journal.append({ action: "stage_fault", data: fault() });
    expect(manager.getBrowser("h")?.status).toBe("failed");
    manager.restoreBrowserCheckpoint("h");
    expect(manager.digest("h")).toBe(digest);
  });

  it("opens and closes no host: that is the pool's", async () => {
    const { journal, manager } = await pool();
    expect(() => manager.addBrowser("x", "chrome")).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
    expect(() => manager.removeBrowser("h")).toThrow(expect.objectContaining({ code: "BAD_OPTIONS" }));
    expect(manager.addBrowser("h", "chrome").browserId).toBe("h");
    expect(journal.length).toBe(LIST.length);
  });
});

describe("the exported journal", () => {
  it("is in the seed's form, and the session's secret is not in it", async () => {
    const { journal } = await pool();
    const log = (await journal.history()).map(exportTransaction);
    expect(log[2]).toMatchObject({
      timestamp: 1_620_000_000.123,
      action: "add_model_to_browser",
      data: { browser_id: "h", model_id: "s/0", model_state: { session_id: "s", stage: 0, attempt: 1 } },
    });
    expect(log[1]?.data).toMatchObject({ browser_id: "h", browser_type: "chrome", opened_at: 0.001 });
    expect(log[0]?.data).toMatchObject({ session_id: "s", durable_run: -1 });
    expect(JSON.stringify(log)).not.toMatch(/secret|hostId|sessionId/);
  });
});

describe("damage that a start repairs", () => {
  it("is in the pool's state for the user to see", async () => {
    const { storage } = await pool();
    const [record] = (await storage.readRecords(LIST.length - 1)).slice(-1);
    if (record === undefined) throw new Error("nothing was recorded");
    await storage.write([{ put: "record", record: { ...record, body: record.body.replace("wasm", "wasn") } }]);
    const journal = await open(storage);
    expect(journal.state.repairs).toEqual([{ at: clock.now(), kind: "digest", sequence: LIST.length, lost: 1 }]);
    expect(journal.state.sessions["s"]?.stages).toMatchObject([{ phase: "starting" }]);
  });
});

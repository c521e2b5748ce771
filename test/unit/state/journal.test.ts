import { describe, expect, it } from "vitest";
import { JOURNAL_COMPACT_AT, JOURNAL_COMPACT_BYTES } from "../../../src/base/limits.ts";
import { Journal, type JournalStorage, type Snapshot } from "../../../src/state/journal.ts";
import type { Transaction, TransactionBody } from "../../../src/state/pool-state.ts";
import { sizeOf } from "../../../src/state/size.ts";
import { session } from "./records.ts";

/** A disk that keeps copies, as IndexedDB does, and may be full. */
class Disk implements JournalStorage {
  snapshot: Snapshot | null = null;
  transactions: Transaction[] = [];
  snapshots = 0;
  full = false;

  async read() {
    return structuredClone({ snapshot: this.snapshot, transactions: this.transactions });
  }
  async write(group: readonly Transaction[], snapshot: Snapshot | null): Promise<void> {
    await new Promise(setImmediate);
    if (this.full) throw new Error("QuotaExceededError");
    this.transactions.push(...structuredClone(group));
    if (snapshot === null) return;
    this.snapshots += 1;
    this.snapshot = structuredClone(snapshot);
    this.transactions = this.transactions.filter(({ sequence }) => sequence > snapshot.sequence);
  }
}

const open = (disk: Disk): Promise<Journal> => {
  let ids = 0;
  return Journal.open({ storage: disk, now: () => 1_000, newId: () => `id-${++ids}` });
};
const OPENED: TransactionBody = { action: "open_session", data: session("s") };
const prompt = (length: number): TransactionBody => ({
  action: "add_tokens",
  data: { sessionId: "s", durableRun: 0, base: 0, promptIds: new Array<number>(length).fill(7), ids: [] },
});
const tokens = (base: number, ids: number[]): TransactionBody => ({
  action: "add_tokens",
  data: { sessionId: "s", durableRun: base, base, promptIds: null, ids },
});

describe("the journal", () => {
  it("gives the same state after a restart at any moment", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    for (const body of [OPENED, prompt(3), tokens(0, [1, 2]), tokens(2, [3]), tokens(1, [4])]) {
      await journal.append(body);
      expect((await open(disk)).state).toEqual(journal.state);
    }
    expect(disk.transactions.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5]);
  });

  it("goes on counting where the last one ended", async () => {
    const disk = new Disk();
    await (await open(disk)).append(OPENED);
    await (await open(disk)).append(prompt(1));
    expect(disk.transactions.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });

  it("writes what could not be written with the next transaction, in order", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    disk.full = true;
    await expect(journal.append(OPENED)).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
    await expect(journal.append(prompt(2))).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
    disk.full = false;
    await journal.append(tokens(0, [5]));
    expect((await open(disk)).state).toEqual(journal.state);
    expect(disk.transactions.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  it("is compacted by the number of its transactions, restarts included", async () => {
    const disk = new Disk();
    let journal = await open(disk);
    await journal.append(OPENED);
    const many = (count: number) =>
      Promise.all(Array.from({ length: count }, (_, at) => journal.append(tokens(at, [at]))));
    await many(JOURNAL_COMPACT_AT / 2);
    journal = await open(disk);
    expect(disk.snapshots).toBe(0);
    await many(JOURNAL_COMPACT_AT / 2);
    expect(disk.snapshots).toBe(1);
    expect((await open(disk)).state).toEqual(journal.state);
  });

  it("of long prompts stays small on disk", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    await journal.append(OPENED);
    const PROMPT = 262_144;
    let largest = 0;
    for (let generation = 0; generation < 20; generation++) {
      await journal.append(prompt(PROMPT));
      largest = Math.max(largest, sizeOf(disk.transactions));
    }
    expect(largest).toBeLessThan(JOURNAL_COMPACT_BYTES + sizeOf(prompt(PROMPT)));
    expect(disk.snapshots).toBeGreaterThan(1);
    expect((await open(disk)).state).toEqual(journal.state);
  });

  it("of a large state is not written anew for each few transactions", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    // Text is the cheapest thing to be large. Four times the bound is held; the rest replaces one small session.
    const large = (sessionId: string, bytes: number): TransactionBody => ({
      action: "open_session",
      data: session(sessionId, { model: "m".repeat(bytes / 2) }),
    });
    for (let at = 0; at < 16; at++) await journal.append(large(`s${at}`, JOURNAL_COMPACT_BYTES / 4));
    const before = disk.snapshots;
    for (let at = 0; at < 16; at++) await journal.append(large("t", JOURNAL_COMPACT_BYTES / 8));
    expect(sizeOf(journal.state)).toBeGreaterThan(4 * JOURNAL_COMPACT_BYTES);
    expect(disk.snapshots).toBe(before);
    for (let at = 0; at < 40; at++) await journal.append(large("t", JOURNAL_COMPACT_BYTES / 8));
    expect(disk.snapshots).toBe(before + 1);
    expect((await open(disk)).state).toEqual(journal.state);
  });
});

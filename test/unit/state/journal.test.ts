import { describe, expect, it } from "vitest";
import { loadSha256 } from "../../../src/base/digest.ts";
import { JOURNAL_COMPACT_BYTES, JOURNAL_SNAPSHOT_AT } from "../../../src/base/limits.ts";
import { type Journal, openJournal } from "../../../src/state/journal.ts";
import { type LogWrite, MemoryLogStorage } from "../../../src/state/log-storage.ts";
import type { TransactionBody } from "../../../src/state/pool-state.ts";
import { session } from "./records.ts";

const sha256 = await loadSha256();

/** A disk that takes its time, and may be full. */
class Disk extends MemoryLogStorage {
  written = 0;
  full = false;

  override async write(steps: readonly LogWrite[]): Promise<void> {
    await new Promise(setImmediate);
    if (this.full) throw new Error("QuotaExceededError");
    await super.write(steps);
    this.written += steps.filter((step) => "put" in step && step.put === "snapshot").length;
  }
  async sequences(): Promise<number[]> {
    return (await this.readRecords(0)).map(({ sequence }) => sequence);
  }
  async size(): Promise<number> {
    const pieces = [...(await this.readRecords(0)), ...(await this.readPoints()).snapshots];
    return pieces.reduce((sum, { body }) => sum + body.length, 0);
  }
}

const open = (storage: Disk): Promise<Journal> => {
  let ids = 0;
  return openJournal({ storage, sha256, now: () => 1_000, newId: () => `id-${++ids}` });
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
    expect(await disk.sequences()).toEqual([1, 2, 3, 4, 5]);
  });

  it("goes on counting where the last one ended", async () => {
    const disk = new Disk();
    await (await open(disk)).append(OPENED);
    await (await open(disk)).append(prompt(1));
    expect(await disk.sequences()).toEqual([1, 2]);
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
    expect(await disk.sequences()).toEqual([1, 2, 3]);
  });

  it("gets a snapshot after so many transactions, restarts included", async () => {
    const disk = new Disk();
    let journal = await open(disk);
    await journal.append(OPENED);
    const many = (count: number) =>
      Promise.all(Array.from({ length: count }, (_, at) => journal.append(tokens(at, [at]))));
    await many(JOURNAL_SNAPSHOT_AT / 2);
    journal = await open(disk);
    expect(disk.written).toBe(0);
    await many(JOURNAL_SNAPSHOT_AT / 2);
    expect(disk.written).toBe(1);
    expect((await open(disk)).state).toEqual(journal.state);
  });

  it("of long prompts stays small on disk", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    await journal.append(OPENED);
    const PROMPT = 262_144;
    let largest = 0;
    for (let generation = 0; generation < 70; generation++) {
      await journal.append(prompt(PROMPT));
      largest = Math.max(largest, await disk.size());
    }
    // Two stretches between snapshots, and the snapshots themselves.
    const one = JSON.stringify(prompt(PROMPT)).length;
    expect(largest).toBeLessThan(2 * (JOURNAL_COMPACT_BYTES + one) + 2 * one);
    expect(disk.written).toBeGreaterThan(1);
    expect((await open(disk)).state).toEqual(journal.state);
  });

  it("of a large state is not written anew for each few transactions", async () => {
    const disk = new Disk();
    const journal = await open(disk);
    // Text is the cheapest thing to be large. Twice the bound is held; the rest replaces one small session.
    const large = (sessionId: string, bytes: number): TransactionBody => ({
      action: "open_session",
      data: session(sessionId, { model: "m".repeat(bytes) }),
    });
    for (let at = 0; at < 8; at++) await journal.append(large(`s${at}`, JOURNAL_COMPACT_BYTES / 4));
    const before = disk.written;
    for (let at = 0; at < 8; at++) await journal.append(large("t", JOURNAL_COMPACT_BYTES / 8));
    expect(JSON.stringify(journal.state).length).toBeGreaterThan(2 * JOURNAL_COMPACT_BYTES);
    expect(disk.written).toBe(before);
    for (let at = 0; at < 16; at++) await journal.append(large("t", JOURNAL_COMPACT_BYTES / 8));
    expect(disk.written).toBe(before + 1);
    expect((await open(disk)).state).toEqual(journal.state);
  }, 60_000);
});

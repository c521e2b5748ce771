import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JOURNAL_COMPACT_AT, JOURNAL_SNAPSHOT_AT } from "../../../../src/base/limits.ts";
import { BROWSER_SUBJECT } from "../../../../src/state/browser-log.ts";
import type { BrowserTransaction } from "../../../../src/state/browser-record.ts";
import { applyBrowserTransaction } from "../../../../src/state/browser-reducer.ts";
import { digestOf } from "../../../../src/state/canonical.ts";
import { TransactionLog } from "../../../../src/state/transaction-log.ts";
import { HISTORY, RECORDED } from "./histories.ts";
import { FaultyStorage, OpenStorage, openBrowsers, sha256, steadyNeeds, withSnapshot } from "./world.ts";

const beat: BrowserTransaction = { action: "heartbeat", data: { hostId: "browser-1" } };

async function recorded(list: readonly BrowserTransaction[], storage = new OpenStorage()) {
  const log = await openBrowsers(storage);
  for (const transaction of list) await log.append(transaction);
  return { log, storage };
}

describe("a log that is opened again", () => {
  it("has the state it had, however it was recorded", async () => {
    await fc.assert(
      fc.asyncProperty(HISTORY, async (list) => {
        const { log, storage } = await recorded(list);
        const again = await openBrowsers(storage);
        expect(again.digest()).toBe(log.digest());
        expect(again.damage).toEqual([]);
        expect(again.length).toBe(list.length);
      }),
    );
  });

  it("has the state that the reducer gives for what it recorded", async () => {
    const { storage } = await recorded(RECORDED);
    const log = await openBrowsers(storage);
    const state = (await log.history()).reduce(
      (before, entry) => applyBrowserTransaction(before, entry as BrowserTransaction, entry.timestamp),
      {},
    );
    expect(log.state).toEqual(state);
  });

  it("stamps each transaction with an id, a time and a number without gaps", async () => {
    const { log } = await recorded(RECORDED);
    const history = await log.history();
    expect(history.map(({ sequence }) => sequence)).toEqual(RECORDED.map((_, at) => at + 1));
    expect(new Set(history.map(({ id }) => id)).size).toBe(RECORDED.length);
    expect(history.map(({ action, data }) => ({ action, data }))).toEqual(RECORDED);
  });
});

describe("replaying", () => {
  it("from any point gives the same state, compared by digest", async () => {
    const { log } = await recorded(RECORDED);
    for (let from = 0; from <= RECORDED.length; from++) {
      const replay = await log.replay(from);
      expect(replay).toEqual({
        replayed: RECORDED.length,
        sequence: RECORDED.length,
        digest: log.digest(),
        isSame: true,
      });
    }
  });

  it("from any snapshot of any history gives the same state", async () => {
    await fc.assert(
      fc.asyncProperty(HISTORY, fc.nat(60), fc.nat(60), async (list, one, other) => {
        let storage = new OpenStorage();
        let log = await openBrowsers(storage);
        for (const [at, transaction] of list.entries()) {
          await log.append(transaction);
          if (at === one || at === other) ({ storage, log } = await withSnapshot(storage));
        }
        const digest = log.digest();
        for (const { sequence } of (await storage.readPoints()).snapshots)
          expect(await log.replay(sequence)).toMatchObject({ digest, isSame: true });
      }),
      { numRuns: 50 },
    );
  });

  it("takes the log's word where the state in memory is another", async () => {
    const { log } = await recorded(RECORDED);
    const digest = log.digest();
    Object.assign(log, { current: {} });
    expect(await log.replay()).toMatchObject({ isSame: false, digest });
    expect(log.digest()).toBe(digest);
  });

  it("counts what is not stored yet", async () => {
    const { log } = await recorded(RECORDED, new FaultyStorage(RECORDED.length, "throws"));
    await expect(log.append(beat)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await log.replay()).toMatchObject({ sequence: RECORDED.length + 1, isSame: true });
  });
});

describe("writing", () => {
  it("puts what is appended at once into one write", async () => {
    const storage = new FaultyStorage();
    const log = await openBrowsers(storage);
    await Promise.all(RECORDED.map((transaction) => log.append(transaction)));
    expect(storage.writes).toBeLessThanOrEqual(2);
    expect((await openBrowsers(storage)).digest()).toBe(log.digest());
  });

  it("sends what could not be written with the next transaction", async () => {
    const storage = new FaultyStorage(3, "throws");
    const log = await openBrowsers(storage);
    const results = [];
    for (const transaction of RECORDED)
      results.push(
        await log.append(transaction).then(
          () => "ok",
          () => "failed",
        ),
      );
    expect(results.filter((result) => result === "failed")).toHaveLength(1);
    expect((await openBrowsers(storage)).digest()).toBe(log.digest());
  });

  it("keeps the newest snapshots and one at each end of a stretch, and drops what is older than two of them", async () => {
    const { log, storage } = await recorded([RECORDED[0] as BrowserTransaction]);
    for (let at = 0; at < (3.2 * JOURNAL_COMPACT_AT) / 100; at++)
      await Promise.all(Array.from({ length: 100 }, () => log.append(beat)));
    const { snapshots, records } = await storage.contents();
    const [oldest, second, ...newest] = snapshots.map(({ sequence }) => sequence) as [number, number, ...number[]];
    expect(newest).toHaveLength(2);
    expect(second - oldest).toBeGreaterThanOrEqual(JOURNAL_COMPACT_AT);
    expect(log.length - second).toBeLessThan(JOURNAL_COMPACT_AT);
    expect(records[0]?.sequence).toBe(oldest + 1);
    expect(records.at(-1)?.sequence).toBe(log.length);
    const again = await openBrowsers(storage);
    expect([again.digest(), again.damage, await again.audit()]).toEqual([log.digest(), [], true]);
    for (const from of snapshots) expect(await again.replay(from.sequence)).toMatchObject({ isSame: true });
  });

  it("leaves a start little to apply again, however long the log is", async () => {
    const { log, storage } = await recorded([RECORDED[0] as BrowserTransaction]);
    for (let at = 0; at < JOURNAL_COMPACT_AT; at++) {
      const written = log.append(beat);
      if (at % 10 === 0) await written;
    }
    await log.append(beat);
    const read: number[] = [];
    const again = await openBrowsers({
      readPoints: () => storage.readPoints(),
      write: (steps) => storage.write(steps),
      readRecords: async (after, countMax) => {
        const records = await storage.readRecords(after, countMax);
        read.push(records.length);
        return records;
      },
    });
    expect(again.digest()).toBe(log.digest());
    expect(read).toEqual([expect.any(Number)]);
    expect(read[0]).toBeLessThan(2 * JOURNAL_SNAPSHOT_AT);
    expect(await log.history()).toHaveLength(JOURNAL_COMPACT_AT + 2);
  });
});

describe("a stored log of another schema", () => {
  const needs = (storage: OpenStorage) => ({ ...steadyNeeds(), storage });

  it("that is newer is refused, and nothing of it is changed", async () => {
    const storage = new OpenStorage();
    const newer = await TransactionLog.open({ ...BROWSER_SUBJECT, schema: 2 }, needs(storage));
    for (const transaction of RECORDED) await newer.append(transaction);
    const before = await storage.contents();
    await expect(openBrowsers(storage)).rejects.toMatchObject({ code: "STORE_NEWER" });
    expect(await storage.contents()).toEqual(before);
  });

  it("that is older is brought up to date, once", async () => {
    const { storage, log } = await recorded(RECORDED);
    const subject = {
      ...BROWSER_SUBJECT,
      schema: 2,
      upgradeTransaction: (entry: unknown, from: number) => {
        expect(from).toBe(1);
        return entry as never;
      },
      upgradeState: () => {
        throw new Error("there is no snapshot to upgrade");
      },
    };
    const upgraded = await TransactionLog.open(subject, needs(storage));
    expect(upgraded.digest()).toBe(log.digest());
    const { head, records, snapshots } = await storage.contents();
    expect([head?.schema, records, snapshots.map(({ schema }) => schema)]).toEqual([2, [], [2]]);
    await upgraded.append(beat);
    const again = await TransactionLog.open(subject, needs(storage));
    expect([again.digest(), again.damage, sha256("").length]).toEqual([upgraded.digest(), [], 64]);
  });

  it("upgrades a snapshot's state", async () => {
    const storage = new OpenStorage();
    const old = await TransactionLog.open({ ...BROWSER_SUBJECT, schema: 2 }, needs(storage));
    for (const transaction of RECORDED) await old.append(transaction);
    await TransactionLog.open({ ...BROWSER_SUBJECT, schema: 3 }, needs(storage));
    const upgraded = await TransactionLog.open(
      { ...BROWSER_SUBJECT, schema: 4, upgradeState: (state, from) => ({ ...(state as object), from: from as never }) },
      needs(storage),
    );
    expect(upgraded.state).toEqual({ ...old.state, from: 3 });
    expect(digestOf(old.state, sha256)).toBe(old.digest());
  });
});

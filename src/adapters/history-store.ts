import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { messageOf } from "../base/errors.ts";
import { HISTORY_WRITE_MS } from "../base/limits.ts";
import type { PerformanceEntry } from "../history/entry.ts";
import { HostReports } from "../history/host-reports.ts";
import { HISTORY_VERSION, PerformanceHistoryTracker } from "../history/tracker.ts";
import type { PoolHistory } from "../pool/needs.ts";
import type { BrowserIdentity, HostReport } from "../protocol/host.ts";

interface Schema extends DBSchema {
  entries: { key: number; value: PerformanceEntry };
  meta: { key: "version"; value: number } | { key: "reports"; value: readonly HostReport[] };
}

const NAME = "holdfast-history";

/**
 * History in IndexedDB: a row an entry, written in batches, so that a service worker that ends loses at most the last. It
 * is worth little enough to be thrown away: what cannot be read, or stored, is said in the log and done without.
 */
export class HistoryStore implements PoolHistory {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly db: IDBPDatabase<Schema> | null,
    readonly tracker: PerformanceHistoryTracker,
    readonly reports: HostReports,
    /** Entries as they are on disk; a changed entry is another object. */
    private readonly stored: Map<number, PerformanceEntry>,
  ) {}

  static async open(browser: BrowserIdentity): Promise<HistoryStore> {
    let db: IDBPDatabase<Schema> | null = null;
    try {
      db = await openDB<Schema>(NAME, 1, {
        upgrade: (fresh) => {
          fresh.createObjectStore("entries", { keyPath: "sequence" });
          fresh.createObjectStore("meta");
        },
      });
      const [version, entries, reports] = await Promise.all([
        db.get("meta", "version"),
        db.getAll("entries"),
        db.get("meta", "reports"),
      ]);
      const tracker = PerformanceHistoryTracker.from({ version: version ?? HISTORY_VERSION, entries });
      const rows = new Map(entries.map((entry) => [entry.sequence, entry]));
      const unchanged = tracker.entries.filter(({ sequence, status }) => rows.get(sequence)?.status === status);
      const stored = new Map([...rows, ...unchanged.map((entry) => [entry.sequence, entry] as const)]);
      return new HistoryStore(db, tracker, HostReports.from(reports ?? [], browser), stored);
    } catch (error) {
      console.warn(`Holdfast's performance history starts empty: ${messageOf(error)}`);
      await db?.clear("entries").catch(() => undefined);
      return new HistoryStore(db, new PerformanceHistoryTracker(), new HostReports(browser), new Map());
    }
  }

  changed(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.writing = this.writing.then(() => this.write());
    }, HISTORY_WRITE_MS);
  }

  private async write(): Promise<void> {
    if (this.db === null) return;
    const { entries } = this.tracker;
    const kept = new Set(entries.map(({ sequence }) => sequence));
    const fresh = entries.filter((entry) => this.stored.get(entry.sequence) !== entry);
    const gone = [...this.stored.keys()].filter((sequence) => !kept.has(sequence));
    try {
      const writes = this.db.transaction(["entries", "meta"], "readwrite");
      // A request that fails ends the transaction, and `done` says why.
      const ignore = (): void => undefined;
      const rows = writes.objectStore("entries");
      for (const entry of fresh) rows.put(entry).catch(ignore);
      for (const sequence of gone) rows.delete(sequence).catch(ignore);
      writes.objectStore("meta").put(HISTORY_VERSION, "version").catch(ignore);
      writes.objectStore("meta").put(this.reports.toJSON(), "reports").catch(ignore);
      await writes.done;
      for (const entry of fresh) this.stored.set(entry.sequence, entry);
      for (const sequence of gone) this.stored.delete(sequence);
    } catch (error) {
      // It goes out with the next change.
      console.warn(`Holdfast's performance history was not written: ${messageOf(error)}`);
    }
  }
}

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { JOURNAL_COMPACT_AT } from "../base/limits.ts";
import { callerError } from "../fault/classify.ts";
import { EMPTY_POOL, type PoolState, type Transaction, type TransactionBody } from "../state/pool-state.ts";
import { applyTransaction } from "../state/reducer.ts";

interface Schema extends DBSchema {
  journal: { key: number; value: Transaction };
  snapshot: { key: string; value: { sequence: number; state: PoolState } };
}

/** The transaction log in IndexedDB: appended in order, written in groups, compacted into a snapshot. */
export class JournalStore {
  private waiting: Transaction[] = [];
  private writing: Promise<void> = Promise.resolve();
  private sinceSnapshot: number;

  private constructor(
    private readonly db: IDBPDatabase<Schema>,
    private current: PoolState,
    private sequence: number,
    replayed: number,
  ) {
    this.sinceSnapshot = replayed;
  }

  /** Newest snapshot, then every transaction after it. The same path for a first start, a wake and a crash. */
  static async open(): Promise<JournalStore> {
    const db = await openDB<Schema>("holdfast-journal", 1, {
      upgrade: (fresh) => {
        fresh.createObjectStore("journal", { keyPath: "sequence" });
        fresh.createObjectStore("snapshot");
      },
    });
    const snapshot = await db.get("snapshot", "latest");
    const after = snapshot?.sequence ?? 0;
    const transactions = await db.getAll("journal", IDBKeyRange.lowerBound(after, true));
    const state = transactions.reduce<PoolState>(applyTransaction, snapshot?.state ?? EMPTY_POOL);
    return new JournalStore(db, state, transactions.at(-1)?.sequence ?? after, transactions.length);
  }

  get state(): PoolState {
    return this.current;
  }

  /** Applies at once; resolves when the transaction is on disk. When it cannot be written, it goes out with the next one. */
  append(body: TransactionBody): Promise<void> {
    this.current = applyTransaction(this.current, body);
    this.waiting.push({ ...body, id: newId(), timestamp: Date.now() / 1000, sequence: ++this.sequence });
    // Whatever is appended while a group is being written goes out as one group after it.
    this.writing = this.writing.catch(() => undefined).then(() => this.writeGroup());
    return this.writing;
  }

  private async writeGroup(): Promise<void> {
    const group = this.waiting;
    if (group.length === 0) return;
    this.waiting = [];
    const compact = this.sinceSnapshot + group.length >= JOURNAL_COMPACT_AT;
    try {
      await this.write(group, compact);
    } catch (error) {
      this.waiting = [...group, ...this.waiting];
      throw HoldfastError.from(callerError(messageOf(error), "INTERNAL"));
    }
    this.sinceSnapshot = compact ? 0 : this.sinceSnapshot + group.length;
  }

  private async write(group: readonly Transaction[], compact: boolean): Promise<void> {
    const { current: state, sequence } = this;
    const writes = this.db.transaction(["journal", "snapshot"], "readwrite");
    // A request that fails ends the transaction, and `done` says why.
    const ignore = (): void => undefined;
    const journal = writes.objectStore("journal");
    for (const transaction of group) journal.put(transaction).catch(ignore);
    if (compact) {
      writes.objectStore("snapshot").put({ sequence, state }, "latest").catch(ignore);
      journal.delete(IDBKeyRange.upperBound(sequence)).catch(ignore);
    }
    await writes.done;
  }
}

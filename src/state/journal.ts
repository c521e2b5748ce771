import { HoldfastError, messageOf } from "../base/errors.ts";
import { JOURNAL_COMPACT_AT, JOURNAL_COMPACT_BYTES } from "../base/limits.ts";
import { callerError } from "../fault/classify.ts";
import { EMPTY_POOL, type PoolState, type Transaction, type TransactionBody } from "./pool-state.ts";
import { applyTransaction } from "./reducer.ts";
import { sizeOf } from "./size.ts";

/** The state after the transaction of this number. */
export interface Snapshot {
  readonly sequence: number;
  readonly state: PoolState;
}

/** Where the journal lies. */
export interface JournalStorage {
  /** The newest snapshot, and every transaction after it in order. */
  read(): Promise<{ readonly snapshot: Snapshot | null; readonly transactions: readonly Transaction[] }>;
  /** All of it or nothing. A snapshot takes the place of the last one and of every transaction up to its number. */
  write(group: readonly Transaction[], snapshot: Snapshot | null): Promise<void>;
}

export interface JournalNeeds {
  readonly storage: JournalStorage;
  /** Epoch milliseconds. */
  now(): number;
  newId(): string;
}

/** The transaction log: appended in order, written in groups, compacted into a snapshot by number and by bytes. */
export class Journal {
  private waiting: Transaction[] = [];
  private writing: Promise<void> = Promise.resolve();
  private count: number;
  private bytes: number;

  private constructor(
    private readonly needs: JournalNeeds,
    private current: PoolState,
    private sequence: number,
    private snapshotBytes: number,
    replayed: readonly Transaction[],
  ) {
    this.count = replayed.length;
    this.bytes = sizeOf(replayed);
  }

  /** Newest snapshot, then every transaction after it. The same path for a first start, a wake and a crash. */
  static async open(needs: JournalNeeds): Promise<Journal> {
    const { snapshot, transactions } = await needs.storage.read();
    const { sequence, state } = snapshot ?? { sequence: 0, state: EMPTY_POOL };
    const current = transactions.reduce<PoolState>(applyTransaction, state);
    return new Journal(needs, current, transactions.at(-1)?.sequence ?? sequence, sizeOf(state), transactions);
  }

  get state(): PoolState {
    return this.current;
  }

  /** Applies at once; resolves when the transaction is on disk. When it cannot be written, it goes out with the next one. */
  append(body: TransactionBody): Promise<void> {
    this.current = applyTransaction(this.current, body);
    const { now, newId } = this.needs;
    this.waiting.push({ ...body, id: newId(), timestamp: now() / 1000, sequence: ++this.sequence });
    // Whatever is appended while a group is being written goes out as one group after it.
    this.writing = this.writing.catch(() => undefined).then(() => this.writeGroup());
    return this.writing;
  }

  private async writeGroup(): Promise<void> {
    const group = this.waiting;
    if (group.length === 0) return;
    this.waiting = [];
    const count = this.count + group.length;
    const bytes = this.bytes + sizeOf(group);
    const snapshot = this.isLong(count, bytes) ? { sequence: this.sequence, state: this.current } : null;
    try {
      await this.needs.storage.write(group, snapshot);
    } catch (error) {
      this.waiting = [...group, ...this.waiting];
      throw HoldfastError.from(callerError(messageOf(error), "INTERNAL"));
    }
    this.count = snapshot === null ? count : 0;
    this.bytes = snapshot === null ? bytes : 0;
    if (snapshot !== null) this.snapshotBytes = sizeOf(snapshot.state);
  }

  /** A large state is not written again for each few transactions: only when they have become as large. */
  private isLong(count: number, bytes: number): boolean {
    return count >= JOURNAL_COMPACT_AT || bytes >= Math.max(JOURNAL_COMPACT_BYTES, this.snapshotBytes);
  }
}

import type { Sha256 } from "../base/digest.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { JOURNAL_COMPACT_BYTES, JOURNAL_SNAPSHOT_AT, JOURNAL_SNAPSHOT_BYTES_EACH } from "../base/limits.ts";
import { callerError } from "../fault/classify.ts";
import { digestOf } from "./canonical.ts";
import { firstBreak, type LogDamage, type LogReading, readLog } from "./log-check.ts";
import {
  CHAIN_START,
  isIntactHead,
  isIntactSnapshot,
  type LogBody,
  type LogRecord,
  type LogSnapshot,
  openRecord,
  type Stamp,
  sealHead,
  sealRecord,
  sealSnapshot,
} from "./log-record.ts";
import { type LogPoint, retained } from "./log-retention.ts";
import type { LogDrop, LogPoints, LogStorage, LogWrite } from "./log-storage.ts";

/** What the log is of: a state, and the one pure function that changes it. */
export interface LogSubject<S, B extends LogBody> {
  readonly empty: S;
  apply(state: S, transaction: B & Partial<Stamp>): S;
  /** Of the stored form; grows with every change that an older reducer could not read. */
  readonly schema: number;
  /** A state of schema `from` in the present form. */
  upgradeState(state: unknown, from: number): S;
  upgradeTransaction(transaction: unknown, from: number): B & Stamp;
  /** What tells of damage in the log itself. */
  damaged(damage: LogDamage): B;
}

export interface LogNeeds {
  readonly storage: LogStorage;
  readonly sha256: Sha256;
  /** Epoch milliseconds. */
  now(): number;
  /** UUID. */
  newId(): string;
}

/** What came of replaying the stored log. */
export interface Replay {
  /** Transactions that were applied again, on top of the snapshot before them. */
  readonly replayed: number;
  readonly sequence: number;
  /** Hex SHA-256 of the state that the replay gave. */
  readonly digest: string;
  /** Whether the state before was the same. If it was not, it is now. */
  readonly isSame: boolean;
}

/** The seed's transaction log: appended in order, written in groups, compacted into snapshots, checked when read. */
export class TransactionLog<S, B extends LogBody> {
  private current: S;
  private sequence = 0;
  private chain = CHAIN_START;
  /** What is not in storage yet, in order. */
  private unwritten: { readonly transaction: B & Stamp; readonly record: LogRecord }[] = [];
  private writing: Promise<void> = Promise.resolve();
  private count = 0;
  private bytes = 0;
  private snapshotBytes = 0;
  /** Characters ever appended. */
  private total = 0;
  /** The stored snapshots, ascending. */
  private snapshots: readonly LogPoint[] = [];
  /** Transactions up to here are not kept any more. */
  private from: LogPoint = { sequence: 0, total: 0 };
  /** What the next write takes away, beside what its snapshot makes useless. */
  private drops: LogDrop[] = [];
  private isSnapshotDue = false;
  /** What the start found and repaired. */
  damage: readonly LogDamage[] = [];

  /** A log that starts from nothing, whatever lies in the storage. */
  constructor(
    private readonly subject: LogSubject<S, B>,
    private readonly needs: LogNeeds,
  ) {
    this.current = subject.empty;
  }

  /**
   * Newest snapshot, then every transaction after it: the same path for a first start, a wake and a crash. What is damaged
   * is found, repaired from the snapshot before and told in the log. Throws STORE_NEWER, touching nothing, when a newer
   * version has written here.
   */
  static async open<S, B extends LogBody>(subject: LogSubject<S, B>, needs: LogNeeds): Promise<TransactionLog<S, B>> {
    const { storage, sha256 } = needs;
    const points = await storage.readPoints();
    const newest = newestSchema(points, sha256);
    if (newest > subject.schema)
      throw new HoldfastError(
        "STORE_NEWER",
        `The stored state was written by a newer version (schema ${newest}; this one reads up to ${subject.schema}). Update the extension; nothing was changed.`,
      );
    const log = new TransactionLog(subject, needs);
    await log.load(await readLog(points, storage, sha256), points);
    return log;
  }

  get state(): S {
    return this.current;
  }

  /** Transactions ever appended. */
  get length(): number {
    return this.sequence;
  }

  /** Applies at once; resolves when the transaction is in storage. When it cannot be written, it goes out with the next one. */
  append(body: B): Promise<void> {
    this.take(body);
    // Whatever is appended while a group is being written goes out as one group after it.
    return this.afterWrites(() => this.writeGroup());
  }

  /** Hex SHA-256 of the state. */
  digest(): string {
    return digestOf(this.current, this.needs.sha256);
  }

  /**
   * Applies the stored transactions again, from the newest snapshot at or before `from` (default: the newest one), and
   * takes the state that they give. Throws INTERNAL when the log in storage is damaged.
   */
  replay(from = this.sequence): Promise<Replay> {
    return this.afterWrites(async () => {
      const { storage, sha256 } = this.needs;
      const { head, snapshots } = await storage.readPoints();
      const records = await storage.readRecords(0);
      // Before the first snapshot there is nothing, unless all transactions are still kept.
      const oldest = records[0]?.sequence === 1 ? undefined : snapshots[0];
      const start = snapshots.findLast(({ sequence }) => sequence <= from) ?? oldest;
      const reading = await readLog(
        { head, snapshots: start === undefined ? [] : [start] },
        { readRecords: async (after) => records.filter(({ sequence }) => sequence > after) },
        sha256,
      );
      if (reading.damage.length > 0)
        throw new HoldfastError(
          "INTERNAL",
          "The stored log is damaged; it is repaired when the extension starts again.",
        );
      const late = this.unwritten.filter(({ transaction }) => transaction.sequence > reading.sequence);
      const state = late.reduce(
        (before, { transaction }) => this.subject.apply(before, transaction),
        this.stateOf(reading),
      );
      const digest = digestOf(state, sha256);
      const isSame = digest === this.digest();
      if (!isSame) this.current = state;
      return { replayed: reading.records.length + late.length, sequence: this.sequence, digest, isSame };
    });
  }

  /** Every transaction that is still kept, in order; all of them are checked first. */
  async history(): Promise<readonly (B & Stamp)[]> {
    await this.audit();
    const records = await this.afterWrites(() => this.needs.storage.readRecords(0));
    const last = records.at(-1)?.sequence ?? 0;
    const late = this.unwritten.filter(({ record }) => record.sequence > last);
    return [...records.map((record) => openRecord<B>(record)), ...late.map(({ transaction }) => transaction)];
  }

  /**
   * Checks what a start does not use: the snapshot before the newest and what lies between, or all that is kept. What is
   * damaged is told in the log and taken away with what it no longer leads to, and where the reserve would be gone a new
   * snapshot is written now. For a quiet moment. False: something was wrong.
   */
  audit(of: "reserve" | "everything" = "everything"): Promise<boolean> {
    return this.afterWrites(async () => {
      const { storage, sha256 } = this.needs;
      const { snapshots, first } = await storage.readPoints();
      const intact = snapshots.filter((snapshot) => isIntactSnapshot(snapshot, sha256));
      const bad = snapshots.filter((snapshot) => !intact.includes(snapshot));
      const newest = intact.at(-1);
      // Without a snapshot, the start has read everything.
      if (newest === undefined && bad.length === 0) return true;
      const broken = newest === undefined || first === null ? null : await this.brokenBefore(newest, intact, first, of);
      if (bad.length === 0 && broken === null) return true;
      for (const { sequence } of bad) this.take(this.subject.damaged({ kind: "snapshot", sequence, lost: 0 }));
      if (broken !== null) this.take(this.subject.damaged({ ...broken, lost: 0 }));
      this.giveUp(bad, intact.find(({ sequence }) => broken !== null && sequence >= broken.sequence) ?? null);
      this.isSnapshotDue = true;
      await this.writeGroup();
      return false;
    });
  }

  private brokenBefore(
    newest: LogSnapshot,
    intact: readonly LogSnapshot[],
    first: number,
    of: "reserve" | "everything",
  ): Promise<Pick<LogDamage, "kind" | "sequence"> | null> {
    const { storage, sha256 } = this.needs;
    const start = first === 1 ? LOG_START : intact.find(({ sequence }) => sequence === first - 1);
    const from = of === "reserve" ? (intact.at(-2) ?? start) : start;
    // Records that nothing stands before could not be checked.
    if (from === undefined)
      return Promise.resolve(first > newest.sequence ? null : { kind: "gap" as const, sequence: first });
    return firstBreak(storage, from, { snapshots: intact, until: newest.sequence }, sha256);
  }

  /** These snapshots go, and all that lies before the one after which history is whole. */
  private giveUp(bad: readonly LogSnapshot[], whole: LogSnapshot | null): void {
    const isGone = ({ sequence }: LogPoint): boolean =>
      bad.some((snapshot) => snapshot.sequence === sequence) || (whole !== null && sequence < whole.sequence);
    for (const { sequence } of this.snapshots.filter(isGone)) this.drops.push({ drop: "snapshot", sequence });
    this.snapshots = this.snapshots.filter((point) => !isGone(point));
    if (whole === null) return;
    this.drops.push({ drop: "records", from: 0, to: whole.sequence });
    this.from = pointOf(whole);
  }

  private async load(reading: LogReading, { head, snapshots, first }: LogPoints): Promise<void> {
    const { subject } = this;
    const { base, records, sequence, damage } = reading;
    this.current = this.stateOf(reading);
    this.sequence = sequence;
    this.chain = reading.chain;
    this.count = records.length;
    this.bytes = records.reduce((sum, { body }) => sum + body.length, 0);
    this.total = (base?.total ?? 0) + this.bytes;
    this.snapshotBytes = base?.body.length ?? 0;
    this.damage = damage;
    const isUsed = (at: number): boolean => base !== null && at <= base.sequence;
    this.snapshots = snapshots.filter((snapshot) => isUsed(snapshot.sequence)).map(pointOf);
    this.from = this.startOf(first);
    const isOld = [head, base, ...records].some((piece) => piece !== null && piece.schema < subject.schema);
    if (damage.length === 0 && !isOld) return;
    for (const entry of damage) this.take(subject.damaged(entry));
    // Of an older form nothing stays, and of what the intact history does not reach neither.
    for (const snapshot of snapshots)
      if (isOld || !isUsed(snapshot.sequence)) this.drops.push({ drop: "snapshot", sequence: snapshot.sequence });
    if (isOld) {
      this.drops.push({ drop: "records", from: 0, to: sequence });
      this.snapshots = [];
      this.from = { sequence, total: this.total };
    }
    this.isSnapshotDue = true;
    // A full disk keeps nobody from starting: what could not be written goes out with the next transaction.
    await this.writeGroup().catch(() => undefined);
  }

  /** What lies before the oldest record. */
  private startOf(first: number | null): LogPoint {
    const sequence = (first ?? this.sequence + 1) - 1;
    const total = sequence === 0 ? 0 : (this.snapshots.find((point) => point.sequence >= sequence)?.total ?? 0);
    return { sequence, total };
  }

  private stateOf({ base, records }: LogReading): S {
    const { subject } = this;
    let state = subject.empty;
    if (base !== null) {
      const stored: unknown = JSON.parse(base.body);
      state = base.schema === subject.schema ? (stored as S) : subject.upgradeState(stored, base.schema);
    }
    for (const record of records) {
      const transaction = openRecord<B>(record);
      const isOld = record.schema < subject.schema;
      state = subject.apply(state, isOld ? subject.upgradeTransaction(transaction, record.schema) : transaction);
    }
    return state;
  }

  private take(body: B): void {
    const { now, newId, sha256 } = this.needs;
    const stamp: Stamp = { id: newId(), timestamp: now(), sequence: this.sequence + 1 };
    const transaction: B & Stamp = { ...stamp, ...body };
    const record = sealRecord(transaction, this.subject.schema, this.chain, sha256);
    this.current = this.subject.apply(this.current, transaction);
    this.sequence = stamp.sequence;
    this.chain = record.digest;
    this.unwritten.push({ transaction, record });
  }

  /** One after the other with all writes, so that what is read is whole. */
  private afterWrites<T>(step: () => Promise<T>): Promise<T> {
    const result = this.writing.catch(() => undefined).then(step);
    this.writing = result.then(() => undefined);
    // Who appended hears of it; the log itself goes on.
    this.writing.catch(() => undefined);
    return result;
  }

  /** All that is not in storage yet, and a snapshot when one is due. */
  private async writeGroup(): Promise<void> {
    const { needs, subject, sequence, chain } = this;
    const group = [...this.unwritten];
    if (group.length === 0 && !this.isSnapshotDue) return;
    const drops = [...this.drops];
    const { schema } = subject;
    const count = this.count + group.length;
    const added = group.reduce((sum, { record }) => sum + record.body.length, 0);
    const bytes = this.bytes + added;
    const total = this.total + added;
    const snapshot =
      this.isSnapshotDue || this.isLong(count, bytes)
        ? sealSnapshot({ schema, sequence, total, chain, body: JSON.stringify(this.current) }, needs.sha256)
        : null;
    const all = snapshot === null ? this.snapshots : [...this.snapshots.filter(isBefore(sequence)), pointOf(snapshot)];
    const { kept, from } = snapshot === null ? { kept: all, from: this.from } : retained(all, this.from);
    const steps: LogWrite[] = group.map(({ record }) => ({ put: "record", record }));
    if (snapshot !== null) steps.push({ put: "snapshot", snapshot });
    steps.push({ put: "head", head: sealHead({ schema, sequence, chain }, needs.sha256) });
    for (const drop of drops) if (drop.drop === "records" || drop.sequence !== sequence) steps.push(drop);
    // What lies beyond would be taken for a part of what comes.
    if (this.isSnapshotDue) steps.push({ drop: "records", from: sequence + 1, to: Number.MAX_SAFE_INTEGER });
    if (from.sequence > this.from.sequence) steps.push({ drop: "records", from: 0, to: from.sequence });
    for (const point of all) if (!kept.includes(point)) steps.push({ drop: "snapshot", sequence: point.sequence });
    try {
      await needs.storage.write(steps);
    } catch (error) {
      throw HoldfastError.from(callerError(messageOf(error), "INTERNAL"));
    }
    this.unwritten = this.unwritten.slice(group.length);
    this.drops = this.drops.slice(drops.length);
    this.snapshots = kept;
    this.from = from;
    this.total = total;
    this.count = snapshot === null ? count : 0;
    this.bytes = snapshot === null ? bytes : 0;
    if (snapshot === null) return;
    this.snapshotBytes = snapshot.body.length;
    this.isSnapshotDue = false;
  }

  /** So that a start has little to apply again, but a large state is not written anew for each few transactions. */
  private isLong(count: number, bytes: number): boolean {
    const countMax = Math.max(JOURNAL_SNAPSHOT_AT, this.snapshotBytes / JOURNAL_SNAPSHOT_BYTES_EACH);
    return count >= countMax || bytes >= Math.max(JOURNAL_COMPACT_BYTES, this.snapshotBytes);
  }
}

/** Before the first transaction. */
const LOG_START = { sequence: 0, chain: CHAIN_START };

function pointOf({ sequence, total = 0 }: LogSnapshot): LogPoint {
  return { sequence, total };
}

const isBefore =
  (sequence: number) =>
  (point: LogPoint): boolean =>
    point.sequence < sequence;

function newestSchema({ head, snapshots }: LogPoints, sha256: Sha256): number {
  const intact = snapshots.filter((snapshot) => isIntactSnapshot(snapshot, sha256));
  return Math.max(0, ...(head !== null && isIntactHead(head, sha256) ? [head] : intact).map(({ schema }) => schema));
}

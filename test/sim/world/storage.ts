import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import {
  type CheckpointKey,
  chainTo,
  decodeCheckpoint,
  encodeCheckpoint,
  type StoredCheckpoint,
} from "../../../src/state/checkpoint-codec.ts";
import type { LogHead, LogRecord, LogSnapshot } from "../../../src/state/log-record.ts";
import type { LogPoints, LogStorage, LogWrite } from "../../../src/state/log-storage.ts";
import type { Random } from "../../unit/random.ts";
import type { Context } from "./context.ts";

/** What becomes of one write: "torn" and "lost" as when the power goes, so that nobody hears of it any more. */
export type Fate = "lands" | "throws" | "torn" | "lost";

/** What is wrong with the disk: it is full until then, or so many milliseconds slower. */
export class DiskTrouble {
  fullUntil = 0;
  slowUntil = 0;
  /** Decides of each write what becomes of it. */
  fate: (() => Fate) | null = null;

  /** Of a write that is made now. @throws Error where it fails. */
  next(now: number): Exclude<Fate, "throws"> {
    const fate = this.fate?.() ?? "lands";
    if (fate === "throws" || now < this.fullUntil) throw new Error("QuotaExceededError: the disk is full");
    return fate;
  }
}

/** Whoever made a write that the power went with waits for it for ever. */
async function told<T>(access: Promise<{ fate: Fate; value: T }>): Promise<T> {
  const { fate, value } = await access;
  return fate === "lands" ? value : new Promise(() => undefined);
}

/** How long one access takes, milliseconds. */
export function accessMs(random: Random, trouble: DiskTrouble, now: number): number {
  return 0.3 + random.next() * 4 + (now < trouble.slowUntil ? 800 : 0);
}

/** The stored journal: outlives every service worker. */
export class JournalDisk {
  writing = 0;
  private head: LogHead | null = null;
  private readonly records = new Map<number, LogRecord>();
  private readonly snapshots = new Map<number, LogSnapshot>();
  private lastWrite: readonly LogWrite[] = [];

  /** As one service worker sees it: what that one has not written when it ends is not written. */
  seenBy(context: Context, random: Random, trouble: DiskTrouble): LogStorage {
    const access = <T>(step: () => T): Promise<T> => context.wait(accessMs(random, trouble, context.loop.now), step);
    return {
      readPoints: () => access(() => this.points()),
      readRecords: (after, countMax) =>
        access(() =>
          inOrder(this.records.values())
            .filter(({ sequence }) => sequence > after)
            .slice(0, countMax),
        ),
      write: (steps) => {
        this.writing++;
        let isOpen = true;
        const settle = (): void => {
          if (isOpen) this.writing--;
          isOpen = false;
        };
        context.onEnd(settle);
        return told(
          access(() => {
            settle();
            const fate = trouble.next(context.loop.now);
            if (fate === "lands") this.lastWrite = steps;
            if (fate === "lands") for (const step of steps) this.apply(step);
            else if (fate === "torn") this.tear(steps);
            return { fate, value: undefined };
          }),
        );
      },
    };
  }

  /** Of the last write, the last record is cut in the middle, or all is gone. */
  damage(how: "torn" | "lost"): void {
    const written = this.lastWrite.flatMap((step) => ("put" in step && step.put === "record" ? [step.record] : []));
    this.lastWrite = [];
    for (const record of how === "torn" ? written.slice(-1) : written) {
      if (!this.records.has(record.sequence)) continue;
      if (how === "lost") this.records.delete(record.sequence);
      else this.cut(record);
    }
  }

  /** Half of it lands, the last record of that half cut in the middle. */
  private tear(steps: readonly LogWrite[]): void {
    const half = steps.slice(0, Math.ceil(steps.length / 2));
    for (const step of half) this.apply(step);
    const last = half.findLast((step) => "put" in step && step.put === "record");
    if (last !== undefined && "put" in last && last.put === "record") this.cut(last.record);
  }

  private cut(record: LogRecord): void {
    this.records.set(record.sequence, { ...record, body: record.body.slice(0, record.body.length >> 1) });
  }

  private points(): LogPoints {
    const first = this.records.size === 0 ? null : Math.min(...this.records.keys());
    return { head: this.head, snapshots: inOrder(this.snapshots.values()), first };
  }

  private apply(step: LogWrite): void {
    if ("put" in step) {
      if (step.put === "record") this.records.set(step.record.sequence, step.record);
      else if (step.put === "snapshot") this.snapshots.set(step.snapshot.sequence, step.snapshot);
      else this.head = step.head;
    } else if (step.drop === "snapshot") this.snapshots.delete(step.sequence);
    else
      for (const sequence of this.records.keys())
        if (sequence >= step.from && sequence <= step.to) this.records.delete(sequence);
  }
}

function inOrder<T extends { readonly sequence: number }>(pieces: Iterable<T>): T[] {
  return [...pieces].sort((a, b) => a.sequence - b.sequence);
}

/** Tensor checkpoints, through the real codec. */
export class CheckpointDisk {
  private readonly stored = new Map<string, StoredCheckpoint>();
  private readonly busy = new Map<string, number>();
  private readonly followers = new Set<{ readonly key: CheckpointKey; changed(): void }>();

  constructor(
    private readonly random: Random,
    private readonly trouble: DiskTrouble,
  ) {}

  async write(context: Context, key: CheckpointKey, record: CheckpointRecord, beforePut: () => Promise<void>) {
    this.count(key.sessionId, 1);
    let counted = true;
    const settle = (): void => {
      if (counted) this.count(key.sessionId, -1);
      counted = false;
    };
    context.onEnd(settle);
    const entry = await encodeCheckpoint(key, record);
    await beforePut();
    return told(
      this.access(context, () => {
        settle();
        const fate = this.trouble.next(context.loop.now);
        const half = { ...entry, payload: entry.payload.slice(0, entry.payload.byteLength >> 1), digest: "torn" };
        if (fate !== "lost") this.stored.set(idOf(key, record.run), fate === "torn" ? half : entry);
        this.changed(key);
        return { fate, value: entry.payload.byteLength };
      }),
    );
  }

  runs(context: Context, key: CheckpointKey): Promise<number[]> {
    return this.access(context, () => this.of(key).map(({ run }) => run));
  }

  async chain(context: Context, key: CheckpointKey, run: number): Promise<CheckpointRecord[] | null> {
    await this.access(context, () => undefined);
    return this.chainNow(key, run);
  }

  digests(context: Context, key: CheckpointKey): Promise<ReadonlyMap<number, string>> {
    return this.access(context, () => new Map(this.of(key).map(({ run, digest }) => [run, digest])));
  }

  async read(context: Context, key: CheckpointKey, run: number) {
    const entry = await this.access(context, () => this.of(key).find((one) => one.run === run));
    const record = entry === undefined ? null : await decodeCheckpoint(key, entry);
    return entry === undefined || record === null ? null : { record, digest: entry.digest };
  }

  /** Calls back when a stage's records change, as long as its context lives. */
  follow(context: Context, key: CheckpointKey, changed: () => void): () => void {
    const follower = { key, changed };
    this.followers.add(follower);
    const end = (): void => void this.followers.delete(follower);
    context.onEnd(end);
    return end;
  }

  private changed({ sessionId, stage }: CheckpointKey): void {
    for (const { key, changed } of this.followers) if (key.sessionId === sessionId && key.stage === stage) changed();
  }

  forgetAfter(context: Context, key: CheckpointKey, run: number): Promise<void> {
    const later = ({ sessionId, stage, run: of }: StoredCheckpoint): boolean =>
      sessionId === key.sessionId && stage === key.stage && of > run;
    return this.remove(context, later, () => this.changed(key));
  }

  forget(context: Context, sessionId: string): Promise<void> {
    return this.remove(context, (entry) => entry.sessionId === sessionId);
  }

  private remove(context: Context, of: (entry: StoredCheckpoint) => boolean, done = (): void => undefined) {
    return told(
      this.access(context, () => {
        const ids = [...this.stored].filter(([, entry]) => of(entry)).map(([id]) => id);
        // To delete nothing is no write.
        const fate = ids.length === 0 ? "lands" : this.trouble.next(context.loop.now);
        const gone = fate === "lost" ? [] : fate === "torn" ? ids.slice(0, Math.ceil(ids.length / 2)) : ids;
        for (const id of gone) this.stored.delete(id);
        done();
        return { fate, value: undefined };
      }),
    );
  }

  bytes(context: Context, sessionId: string): Promise<number> {
    return this.access(context, () =>
      [...this.stored.values()]
        .filter((entry) => entry.sessionId === sessionId)
        .reduce((sum, { payload }) => sum + payload.byteLength, 0),
    );
  }

  async chainNow(key: CheckpointKey, run: number): Promise<CheckpointRecord[] | null> {
    const records = new Map<number, CheckpointRecord>();
    for (const entry of this.of(key)) {
      if (entry.run > run) continue;
      const record = await decodeCheckpoint(key, entry);
      if (record !== null) records.set(record.run, record);
    }
    return chainTo(records, run);
  }

  /** The last run whose state is stored; -1: none. */
  newest(sessionId: string, stage: number): number {
    return this.of({ sessionId, stage }).at(-1)?.run ?? -1;
  }

  isBusy(sessionId: string): boolean {
    return (this.busy.get(sessionId) ?? 0) > 0;
  }

  get sessions(): ReadonlySet<string> {
    return new Set([...this.stored.values()].map(({ sessionId }) => sessionId));
  }

  /** The newest record of a stage is damaged or gone. */
  damage(sessionId: string, stage: number, how: "torn" | "lost"): void {
    const last = this.of({ sessionId, stage }).at(-1);
    if (last === undefined) return;
    const id = `${last.sessionId} ${last.stage} ${last.run}`;
    if (how === "lost") this.stored.delete(id);
    else this.stored.set(id, { ...last, digest: `torn ${last.digest}` });
  }

  private of({ sessionId, stage }: Pick<CheckpointKey, "sessionId" | "stage">): StoredCheckpoint[] {
    return [...this.stored.values()]
      .filter((entry) => entry.sessionId === sessionId && entry.stage === stage)
      .sort((a, b) => a.run - b.run);
  }

  private access<T>(context: Context, step: () => T): Promise<T> {
    return context.wait(accessMs(this.random, this.trouble, context.loop.now), step);
  }

  private count(sessionId: string, by: number): void {
    this.busy.set(sessionId, (this.busy.get(sessionId) ?? 0) + by);
  }
}

function idOf({ sessionId, stage }: CheckpointKey, run: number): string {
  return `${sessionId} ${stage} ${run}`;
}

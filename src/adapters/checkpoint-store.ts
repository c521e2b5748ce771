import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { HoldfastError } from "../base/errors.ts";
import { RESEND_RUNS_MAX } from "../base/limits.ts";
import type { CheckpointRecord, RunSample } from "../protocol/host.ts";
import {
  type CheckpointKey,
  chainTo,
  decodeCheckpoint,
  encodeCheckpoint,
  isIntact,
  type StoredCheckpoint,
} from "../state/checkpoint-codec.ts";

interface Schema extends DBSchema {
  checkpoints: {
    key: [string, number, number];
    value: StoredCheckpoint;
    /** Tells sizes without reading what is stored. */
    indexes: { size: [string, number]; digest: [string, number, number, string] };
  };
}

const SCHEMA = 4;

/** A stage's records have changed. */
interface News {
  readonly of: string;
  readonly sample?: RunSample;
}

/** Tensor checkpoints in IndexedDB: one record a session, stage and run. A put is atomic, so nothing is ever torn. */
export class CheckpointStore {
  /** Keepers of standbys follow what others store. Only keepers have it: the service worker would be told in vain. */
  private channel: BroadcastChannel | null = null;
  private readonly followers = new Map<string, (sample?: RunSample) => void>();

  private constructor(private readonly db: IDBPDatabase<Schema>) {}

  private static opened: Promise<CheckpointStore> | null = null;

  /** One connection a context. */
  static open(): Promise<CheckpointStore> {
    CheckpointStore.opened ??= CheckpointStore.connect();
    return CheckpointStore.opened;
  }

  private static async connect(): Promise<CheckpointStore> {
    const db = await openDB<Schema>("holdfast-checkpoints", SCHEMA, {
      upgrade: (db, from) => {
        // What an older version stored names less than is asked for today, so nobody could use it.
        if (from > 0) db.deleteObjectStore("checkpoints");
        const store = db.createObjectStore("checkpoints", { keyPath: ["sessionId", "stage", "run"] });
        store.createIndex("size", ["sessionId", "bytes"]);
        store.createIndex("digest", ["sessionId", "stage", "run", "digest"]);
      },
    });
    return new CheckpointStore(db);
  }

  /** Resolves once the record is stored and has been read back intact; returns its payload bytes. */
  async write(key: CheckpointKey, record: CheckpointRecord, beforePut: () => Promise<void>): Promise<number> {
    const stored = await encodeCheckpoint(key, record);
    await beforePut();
    await this.db.put("checkpoints", stored);
    const back = await this.db.get("checkpoints", [key.sessionId, key.stage, record.run]);
    if (back?.digest !== stored.digest || !(await isIntact(back)))
      throw new HoldfastError("QUOTA_EXCEEDED", "The storage does not give back what it was given.");
    this.tell({ of: nameOf(key), ...(record.sample && { sample: record.sample }) });
    if (record.previous === null) await this.dropOlder(key, record.run);
    return stored.payload.byteLength;
  }

  /** A record complete in itself makes old ones useless, once no stage can be put back before it. */
  private async dropOlder({ sessionId, stage }: CheckpointKey, run: number): Promise<void> {
    // The last durable point may turn out to be damaged, and the one before it is no further back.
    const until = run - RESEND_RUNS_MAX - 1;
    if (until > 0)
      await this.db.delete("checkpoints", IDBKeyRange.bound([sessionId, stage, -1], [sessionId, stage, until]));
  }

  async runs({ sessionId, stage }: CheckpointKey): Promise<number[]> {
    const keys = await this.db.getAllKeys("checkpoints", stageRange(sessionId, stage));
    return keys.map(([, , run]) => run);
  }

  /** The verified records that lead to the state after `run`; null when one is missing or damaged. */
  async chain(key: CheckpointKey, run: number): Promise<CheckpointRecord[] | null> {
    const range = IDBKeyRange.bound([key.sessionId, key.stage, -1], [key.sessionId, key.stage, run]);
    const records = new Map<number, CheckpointRecord>();
    for (const stored of await this.db.getAll("checkpoints", range)) {
      const record = await decodeCheckpoint(key, stored);
      if (record !== null) records.set(record.run, record);
    }
    return chainTo(records, run);
  }

  /** Digests of a stage's records, by run; what is stored is not read. */
  async digests({ sessionId, stage }: CheckpointKey): Promise<ReadonlyMap<number, string>> {
    const index = this.db.transaction("checkpoints").store.index("digest");
    const digests = new Map<number, string>();
    let cursor = await index.openKeyCursor(stageRange(sessionId, stage));
    for (; cursor !== null; cursor = await cursor.continue()) digests.set(cursor.key[2], cursor.key[3]);
    return digests;
  }

  /** One record, verified; null: it is missing or damaged. */
  async read(key: CheckpointKey, run: number): Promise<{ record: CheckpointRecord; digest: string } | null> {
    const stored = await this.db.get("checkpoints", [key.sessionId, key.stage, run]);
    const record = stored === undefined ? null : await decodeCheckpoint(key, stored);
    return stored === undefined || record === null ? null : { record, digest: stored.digest };
  }

  /**
   * Calls back after each change that another context made to a stage's records, with a run to practise if there is one; one
   * follower a stage here.
   */
  follow(key: CheckpointKey, changed: (sample?: RunSample) => void): () => void {
    this.news();
    this.followers.set(nameOf(key), changed);
    return () => {
      if (this.followers.get(nameOf(key)) === changed) this.followers.delete(nameOf(key));
    };
  }

  private news(): BroadcastChannel {
    if (this.channel !== null) return this.channel;
    this.channel = new BroadcastChannel("holdfast-checkpoints");
    this.channel.onmessage = ({ data }: MessageEvent<News>) => this.followers.get(data.of)?.(data.sample);
    return this.channel;
  }

  private tell(news: News): void {
    this.news().postMessage(news);
  }

  /** Payload bytes of all records of a session. */
  async bytes(sessionId: string): Promise<number> {
    const index = this.db.transaction("checkpoints").store.index("size");
    let bytes = 0;
    let cursor = await index.openKeyCursor(IDBKeyRange.bound([sessionId, 0], [sessionId, Infinity]));
    for (; cursor !== null; cursor = await cursor.continue()) bytes += cursor.key[1];
    return bytes;
  }

  /** Deletes a stage's records of runs after this one. */
  async forgetAfter({ sessionId, stage }: CheckpointKey, run: number): Promise<void> {
    const later = IDBKeyRange.bound([sessionId, stage, run], [sessionId, stage, Infinity], true);
    await this.db.delete("checkpoints", later);
    this.tell({ of: nameOf({ sessionId, stage }) });
  }

  /** Those of which anything is stored. */
  async sessions(): Promise<string[]> {
    const ids: string[] = [];
    let cursor = await this.db.transaction("checkpoints").store.openKeyCursor();
    // From each session's first key on to the next session's.
    for (; cursor !== null; cursor = await cursor.continue([cursor.key[0], Infinity, Infinity]))
      ids.push(cursor.key[0]);
    return ids;
  }

  async forget(sessionId: string): Promise<void> {
    await this.db.delete("checkpoints", IDBKeyRange.bound([sessionId, -1, -1], [sessionId, Infinity, Infinity]));
  }
}

function nameOf({ sessionId, stage }: Pick<CheckpointKey, "sessionId" | "stage">): string {
  return `${sessionId} ${stage}`;
}

function stageRange(sessionId: string, stage: number): IDBKeyRange {
  return IDBKeyRange.bound([sessionId, stage, -1], [sessionId, stage, Infinity]);
}

/** All stored state of a session; for the service worker, which holds no store open. */
export async function deleteCheckpoints(sessionId: string): Promise<void> {
  await (await CheckpointStore.open()).forget(sessionId);
}

export async function storedSessions(): Promise<readonly string[]> {
  return (await CheckpointStore.open()).sessions();
}

export async function storedBytes(sessionId: string): Promise<number> {
  return (await CheckpointStore.open()).bytes(sessionId);
}

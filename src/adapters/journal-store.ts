import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB } from "idb";
import { loadSha256, type Sha256 } from "../base/digest.ts";
import { HoldfastError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { JOURNAL_SCHEMA, type Journal, openJournal } from "../state/journal.ts";
import { sealFirstSchema } from "../state/journal-format.ts";
import type { LogHead, LogRecord, LogSnapshot } from "../state/log-record.ts";
import type { LogStorage, LogWrite } from "../state/log-storage.ts";

interface Schema extends DBSchema {
  journal: { key: number; value: LogRecord };
  snapshot: { key: number; value: LogSnapshot };
  head: { key: "head"; value: LogHead };
}

const NAME = "holdfast-journal";
/** The first schema whose records carry digests. */
const SEALED_SCHEMA = 2;

/** The journal in IndexedDB. Throws STORE_NEWER when a newer version of the extension has written it. */
export async function openStoredJournal(): Promise<Journal> {
  const sha256 = await loadSha256();
  const db = await openDatabase(sha256);
  return openJournal({ storage: journalStorage(db), sha256, now: () => Date.now(), newId });
}

async function openDatabase(sha256: Sha256): Promise<IDBPDatabase<Schema>> {
  try {
    return await openDB<Schema>(NAME, JOURNAL_SCHEMA, {
      upgrade: async (db, from, _, upgrade) => {
        if (from < SEALED_SCHEMA) db.createObjectStore("head");
        if (from === 0) {
          db.createObjectStore("journal", { keyPath: "sequence" });
          db.createObjectStore("snapshot");
        } else if (from < SEALED_SCHEMA) await sealStored(upgrade, sha256);
      },
    });
  } catch (error) {
    if ((error as DOMException | null)?.name !== "VersionError") throw error;
    throw new HoldfastError(
      "STORE_NEWER",
      "The stored state was written by a newer version of Holdfast. Update the extension; nothing was changed.",
      { cause: error },
    );
  }
}

/** What the first schema kept as plain objects gets the form of today, in the transaction that changes the database. */
async function sealStored(
  upgrade: IDBPTransaction<Schema, ("journal" | "snapshot" | "head")[], "versionchange">,
  sha256: Sha256,
): Promise<void> {
  const [journal, snapshots] = [upgrade.objectStore("journal"), upgrade.objectStore("snapshot")];
  const stored = {
    snapshot: (await snapshots.get("latest" as unknown as number)) as unknown,
    transactions: (await journal.getAll()) as unknown[],
  };
  await Promise.all([journal.clear(), snapshots.clear()]);
  const { head, snapshot, records } = sealFirstSchema(stored, sha256);
  if (snapshot !== null) await snapshots.put(snapshot, snapshot.sequence);
  for (const record of records) await journal.put(record);
  await upgrade.objectStore("head").put(head, "head");
}

function journalStorage(db: IDBPDatabase<Schema>): LogStorage {
  return {
    readPoints: async () => {
      const [head = null, snapshots, [first = null]] = await Promise.all([
        db.get("head", "head"),
        db.getAll("snapshot"),
        db.getAllKeys("journal", null, 1),
      ]);
      return { head, snapshots, first };
    },
    readRecords: (after, countMax) => db.getAll("journal", IDBKeyRange.lowerBound(after, true), countMax),
    write: async (steps) => {
      const writes = db.transaction(["journal", "snapshot", "head"], "readwrite");
      // A request that fails ends the transaction, and `done` says why.
      for (const step of steps) request(writes, step).catch(() => undefined);
      await writes.done;
    },
  };
}

function request(
  writes: IDBPTransaction<Schema, ("journal" | "snapshot" | "head")[], "readwrite">,
  step: LogWrite,
): Promise<unknown> {
  if ("drop" in step)
    return step.drop === "snapshot"
      ? writes.objectStore("snapshot").delete(step.sequence)
      : writes.objectStore("journal").delete(IDBKeyRange.bound(step.from, step.to));
  if (step.put === "record") return writes.objectStore("journal").put(step.record);
  if (step.put === "snapshot") return writes.objectStore("snapshot").put(step.snapshot, step.snapshot.sequence);
  return writes.objectStore("head").put(step.head, "head");
}

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { newId } from "../base/ids.ts";
import { Journal, type JournalStorage, type Snapshot } from "../state/journal.ts";
import type { Transaction } from "../state/pool-state.ts";

interface Schema extends DBSchema {
  journal: { key: number; value: Transaction };
  snapshot: { key: string; value: Snapshot };
}

/** The journal in IndexedDB. */
export async function openJournal(): Promise<Journal> {
  const db = await openDB<Schema>("holdfast-journal", 1, {
    upgrade: (fresh) => {
      fresh.createObjectStore("journal", { keyPath: "sequence" });
      fresh.createObjectStore("snapshot");
    },
  });
  return Journal.open({ storage: journalStorage(db), now: () => Date.now(), newId });
}

function journalStorage(db: IDBPDatabase<Schema>): JournalStorage {
  return {
    read: async () => {
      const snapshot = (await db.get("snapshot", "latest")) ?? null;
      const transactions = await db.getAll("journal", IDBKeyRange.lowerBound(snapshot?.sequence ?? 0, true));
      return { snapshot, transactions };
    },
    write: async (group, snapshot) => {
      const writes = db.transaction(["journal", "snapshot"], "readwrite");
      // A request that fails ends the transaction, and `done` says why.
      const ignore = (): void => undefined;
      const journal = writes.objectStore("journal");
      for (const transaction of group) journal.put(transaction).catch(ignore);
      if (snapshot !== null) {
        writes.objectStore("snapshot").put(snapshot, "latest").catch(ignore);
        journal.delete(IDBKeyRange.upperBound(snapshot.sequence)).catch(ignore);
      }
      await writes.done;
    },
  };
}

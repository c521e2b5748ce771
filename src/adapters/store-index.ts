import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { STORE_QUOTA_BYTES } from "../base/limits.ts";
import {
  type BlobRecord,
  mergeBlob,
  type PartialRecord,
  type PlanRecord,
  type StoreContents,
  type UrlRecord,
} from "../store/records.ts";

interface Schema extends DBSchema {
  blobs: { key: string; value: BlobRecord };
  urls: { key: string; value: UrlRecord; indexes: { digest: string } };
  partials: { key: string; value: PartialRecord };
  plans: { key: string; value: PlanRecord };
  settings: { key: string; value: number };
}

/** What the model store knows of its files, in IndexedDB. Writes of one call are one transaction. */
export class StoreIndex {
  private constructor(private readonly db: IDBPDatabase<Schema>) {}

  private static opened: Promise<StoreIndex> | null = null;

  /** One connection a context. */
  static open(): Promise<StoreIndex> {
    StoreIndex.opened ??= StoreIndex.connect();
    return StoreIndex.opened;
  }

  private static async connect(): Promise<StoreIndex> {
    const db = await openDB<Schema>("holdfast-models", 1, {
      upgrade: (fresh) => {
        fresh.createObjectStore("blobs", { keyPath: "digest" });
        fresh.createObjectStore("urls", { keyPath: "url" }).createIndex("digest", "digest");
        fresh.createObjectStore("partials", { keyPath: "key" });
        fresh.createObjectStore("plans", { keyPath: "planId" });
        fresh.createObjectStore("settings");
      },
    });
    return new StoreIndex(db);
  }

  async contents(): Promise<StoreContents> {
    const transaction = this.db.transaction(["blobs", "plans", "partials"]);
    const [blobs, plans, partials] = await Promise.all([
      transaction.objectStore("blobs").getAll(),
      transaction.objectStore("plans").getAll(),
      transaction.objectStore("partials").getAll(),
    ]);
    return { blobs, plans, partials };
  }

  blob(digest: string): Promise<BlobRecord | undefined> {
    return this.db.get("blobs", digest);
  }

  /** A file that is complete, or one more use of it. */
  async putBlob(next: BlobRecord): Promise<void> {
    const transaction = this.db.transaction("blobs", "readwrite");
    await transaction.store.put(mergeBlob(await transaction.store.get(next.digest), next));
    await transaction.done;
  }

  url(url: string): Promise<UrlRecord | undefined> {
    return this.db.get("urls", url);
  }

  async putUrl(record: UrlRecord): Promise<void> {
    await this.db.put("urls", record);
  }

  partial(key: string): Promise<PartialRecord | undefined> {
    return this.db.get("partials", key);
  }

  async putPartial(record: PartialRecord): Promise<void> {
    await this.db.put("partials", record);
  }

  async removePartial(key: string): Promise<void> {
    await this.db.delete("partials", key);
  }

  async putPlan(record: PlanRecord): Promise<void> {
    await this.db.put("plans", record);
  }

  /** The plan and its files were used now. */
  async touchPlan(planId: string, now: number): Promise<void> {
    const transaction = this.db.transaction(["plans", "blobs"], "readwrite");
    const plans = transaction.objectStore("plans");
    const blobs = transaction.objectStore("blobs");
    const plan = await plans.get(planId);
    if (plan !== undefined) {
      await plans.put({ ...plan, lastUsedAt: now });
      for (const digest of new Set(plan.digests)) {
        const blob = await blobs.get(digest);
        if (blob !== undefined) await blobs.put({ ...blob, lastUsedAt: now });
      }
    }
    await transaction.done;
  }

  /** Forgets files, with the URLs that led to them. */
  async remove(digests: readonly string[], planIds: readonly string[]): Promise<void> {
    const transaction = this.db.transaction(["blobs", "urls", "plans"], "readwrite");
    const urls = transaction.objectStore("urls");
    for (const digest of digests) {
      await transaction.objectStore("blobs").delete(digest);
      for (const url of await urls.index("digest").getAllKeys(digest)) await urls.delete(url);
    }
    for (const planId of planIds) await transaction.objectStore("plans").delete(planId);
    await transaction.done;
  }

  async quotaBytes(): Promise<number> {
    return (await this.db.get("settings", "quotaBytes")) ?? STORE_QUOTA_BYTES;
  }

  async setQuotaBytes(bytes: number): Promise<void> {
    await this.db.put("settings", bytes, "quotaBytes");
  }
}

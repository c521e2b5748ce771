import { HoldfastError } from "../base/errors.ts";
import { STORE_PUSHED_SHARE_MAX, STORE_QUOTA_BYTES_MIN } from "../base/limits.ts";
import type { HostCalls } from "../protocol/pool.ts";
import type { StoreStatus } from "../protocol/popup.ts";
import type { PoolState } from "../state/pool-state.ts";
import { chooseDeletion, chooseEvictions, chooseTrim, type Eviction, type Holding } from "../store/evict.ts";
import { listModels, usedBytes } from "../store/listing.ts";
import { removed, storeDirectories } from "./model-store.ts";
import { StoreIndex } from "./store-index.ts";
import { leased, withStore } from "./store-locks.ts";

/** Room in the model store. Lives in the service worker, which alone knows what sessions need. */
export class StoreRoom {
  /** `state`: the pool's, once it has started. */
  constructor(private readonly state: () => Promise<PoolState>) {}

  /** Evicts what nobody uses until the file fits; throws QUOTA_EXCEEDED when it cannot, and then evicts nothing. */
  makeRoom({ key, bytes }: HostCalls["makeRoom"]["params"]): Promise<null> {
    return withStore(async () => {
      const index = await StoreIndex.open();
      const [contents, quotaBytes, holding] = await Promise.all([index.contents(), index.quotaBytes(), this.holding()]);
      const part = contents.partials.find((partial) => partial.key === key);
      if (part === undefined) throw new HoldfastError("INTERNAL", "room was asked for a file that was not begun");
      const diskBytes = await bytesOnDisk(usedBytes(contents));
      const limitBytes = Math.min(quotaBytes, diskBytes);
      const { origin } = part;
      const push = origin === null ? null : { origin, bytesMax: limitBytes * STORE_PUSHED_SHARE_MAX };
      const eviction = chooseEvictions(contents, holding, { key, bytes, limitBytes, push });
      if (eviction === null) throw tooLarge(bytes, limitBytes, push !== null, diskBytes < quotaBytes);
      await this.evict(index, eviction);
      await index.putPartial({ ...part, reservedBytes: bytes });
      return null;
    });
  }

  async status(): Promise<StoreStatus> {
    const index = await StoreIndex.open();
    const [contents, quotaBytes, holding, persisted] = await Promise.all([
      index.contents(),
      index.quotaBytes(),
      this.holding(),
      isPersisted(),
    ]);
    return { quotaBytes, usedBytes: usedBytes(contents), persisted, models: listModels(contents, holding) };
  }

  /** The user deletes a model; what a session uses stays. */
  deleteModel(digests: readonly string[]): Promise<null> {
    return withStore(async () => {
      const index = await StoreIndex.open();
      await this.evict(index, chooseDeletion(await index.contents(), await this.holding(), digests));
      return null;
    });
  }

  /** The user sets how much the store may hold; what is over that goes now, the longest unused first. */
  setQuota(bytes: number): Promise<null> {
    return withStore(async () => {
      const index = await StoreIndex.open();
      if (!Number.isFinite(bytes)) throw new HoldfastError("BAD_OPTIONS", "The quota must be a number of bytes.");
      const limitBytes = Math.max(STORE_QUOTA_BYTES_MIN, Math.round(bytes));
      await index.setQuotaBytes(limitBytes);
      await this.evict(index, chooseTrim(await index.contents(), await this.holding(), limitBytes));
      return null;
    });
  }

  private async holding(): Promise<Holding> {
    const sessions = Object.values((await this.state()).sessions);
    // A parked session keeps its state for a day, but not the room on the disk.
    const open = sessions.filter(({ status }) => status !== "parked" && status !== "paused");
    return { planIds: new Set(open.flatMap(({ planId }) => planId ?? [])), leased: await leased() };
  }

  private async evict(index: StoreIndex, { digests, planIds, partials }: Eviction): Promise<void> {
    if (digests.length + planIds.length + partials.length === 0) return;
    const directories = await storeDirectories();
    const gone = { digests: [] as string[], planIds: [] as string[] };
    for (const planId of planIds) if (await removed(directories.plans, planId)) gone.planIds.push(planId);
    for (const digest of digests) if (await removed(directories.blobs, digest)) gone.digests.push(digest);
    await index.remove(gone.digests, gone.planIds);
    for (const key of partials) {
      const file = (await index.partial(key))?.file;
      if (file !== undefined && (await removed(directories.partial, file))) await index.removePartial(key);
    }
  }
}

/** What the browser would let the store hold in all. */
async function bytesOnDisk(used: number): Promise<number> {
  const { quota, usage } = await navigator.storage.estimate();
  return quota === undefined || usage === undefined ? Number.POSITIVE_INFINITY : used + Math.max(0, quota - usage);
}

function tooLarge(bytes: number, limitBytes: number, isPush: boolean, isDisk: boolean): HoldfastError {
  const mebibytes = (count: number): string => `${Math.ceil(count / 1024 ** 2)} MiB`;
  const what = isDisk ? "the disk has room for" : "the user lets the model store hold";
  const share = isPush ? `, and a site may fill ${STORE_PUSHED_SHARE_MAX * 100} % of it with bytes of its own` : "";
  return new HoldfastError(
    "QUOTA_EXCEEDED",
    `A file of ${mebibytes(bytes)} does not fit the model store's quota: ${what} ${mebibytes(limitBytes)}${share}, and what is in use stays. Delete models or raise the limit in Holdfast's popup.`,
  );
}

/** The permission exempts an extension's storage from eviction; `persisted()` does not say so. */
async function isPersisted(): Promise<boolean> {
  const { permissions = [] } = chrome.runtime.getManifest();
  return permissions.includes("unlimitedStorage") || (await navigator.storage.persisted());
}

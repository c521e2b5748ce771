import { createSHA256, type IHasher } from "hash-wasm";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { PARTIAL_KEEP_BYTES, STORE_ROOM_STEP_BYTES } from "../base/limits.ts";
import type { PartialSink } from "../store/download.ts";
import type { Validators } from "../store/http.ts";
import type { PartialRecord } from "../store/records.ts";
import type { StoreIndex } from "./store-index.ts";

export interface PartialNeeds {
  readonly directory: FileSystemDirectoryHandle;
  readonly index: StoreIndex;
  /** Makes room for `bytes` in all, or throws QUOTA_EXCEEDED. */
  room(key: string, bytes: number): Promise<void>;
}

/** A context that died may hold its file for a moment longer. */
const OPEN_TRIES = 20;
const OPEN_WAIT_MS = 100;

/**
 * One file on its way into the store. What is on disk for sure, and the hasher's state after it, stand in the index: a
 * context that takes the file up goes on there. Bytes after it are cut off and fetched again.
 */
export class PartialFile implements PartialSink {
  private kept: number;

  private constructor(
    private readonly needs: PartialNeeds,
    private readonly handle: FileSystemSyncAccessHandle,
    private readonly hasher: IHasher,
    private record: PartialRecord,
  ) {
    this.kept = record.bytes;
    this.size = record.bytes;
  }

  private size: number;

  /** The file of this key, as far as it came; a new one otherwise. Called under the store's lock. */
  static async open(needs: PartialNeeds, key: string, origin: string | null): Promise<PartialFile> {
    const hasher = await createSHA256();
    const known = await needs.index.partial(key);
    const empty = { total: null, etag: null, lastModified: null, bytes: 0, hasher: null, reservedBytes: 0 };
    let record: PartialRecord = known ?? { key, file: newId(), origin, ...empty, updatedAt: Date.now() };
    const handle = await openHandle(await needs.directory.getFileHandle(record.file, { create: true }));
    try {
      if (record.hasher === null || handle.getSize() < record.bytes) throw new Error("nothing to go on with");
      hasher.load(record.hasher);
    } catch {
      hasher.init();
      record = { ...record, ...empty, reservedBytes: record.reservedBytes };
    }
    handle.truncate(record.bytes);
    record = { ...record, updatedAt: Date.now() };
    await needs.index.putPartial(record);
    return new PartialFile(needs, handle, hasher, record);
  }

  get file(): string {
    return this.record.file;
  }
  get bytes(): number {
    return this.size;
  }
  get total(): number | null {
    return this.record.total;
  }
  get etag(): string | null {
    return this.record.etag;
  }
  get lastModified(): string | null {
    return this.record.lastModified;
  }

  async restart({ etag, lastModified }: Validators, total: number | null): Promise<void> {
    this.handle.truncate(0);
    this.hasher.init();
    this.size = 0;
    this.record = { ...this.record, etag, lastModified, total };
    if (total !== null && total > this.record.reservedBytes) await this.reserve(total);
    await this.keep();
  }

  /** Makes room for that many bytes in all before they come. */
  async reserve(bytes: number): Promise<void> {
    await this.needs.room(this.record.key, bytes);
    this.record = { ...this.record, reservedBytes: bytes };
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.size + bytes.length > this.record.reservedBytes)
      await this.reserve(Math.max(this.size + bytes.length, this.record.reservedBytes + STORE_ROOM_STEP_BYTES));
    let written: number;
    try {
      written = this.handle.write(bytes as Uint8Array<ArrayBuffer>, { at: this.size });
    } catch (error) {
      throw diskFull(messageOf(error), error);
    }
    if (written !== bytes.length) throw diskFull(`${written} of ${bytes.length} bytes were written`);
    this.hasher.update(bytes);
    this.size += bytes.length;
    // Nobody goes on with bytes that a page sends.
    const resumable = this.record.origin === null;
    if (resumable && this.size - this.kept >= PARTIAL_KEEP_BYTES) await this.keep();
  }

  async keep(): Promise<void> {
    try {
      // First the bytes, then the word that they are there.
      this.handle.flush();
      const hasher = this.hasher.save();
      this.record = { ...this.record, bytes: this.size, hasher, updatedAt: Date.now() };
      this.kept = this.size;
      await this.needs.index.putPartial(this.record);
    } catch (error) {
      throw storageError(error);
    }
  }

  /** The SHA-256 of the whole file, which is closed; it cannot be written to any more. */
  complete(): string {
    this.handle.flush();
    this.handle.close();
    return this.hasher.digest("hex");
  }

  /** Leaves it for another time. */
  close(): void {
    this.handle.close();
  }

  async discard(): Promise<void> {
    this.handle.close();
    await this.needs.directory.removeEntry(this.record.file).catch(() => undefined);
    await this.needs.index.removePartial(this.record.key);
  }
}

async function openHandle(file: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (attempt >= OPEN_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, OPEN_WAIT_MS));
    }
  }
}

/** What the browser says when its storage is full, as an error of ours; anything else as it is. */
export function storageError(error: unknown): unknown {
  const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
  return isFull ? diskFull(error.message, error) : error;
}

function diskFull(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "QUOTA_EXCEEDED",
    `The browser's storage quota does not hold this model (${why}). Free disk space, or delete models in Holdfast's popup.`,
    { cause },
  );
}

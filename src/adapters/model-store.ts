import { HoldfastError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { PARTIAL_KEPT_MS } from "../base/limits.ts";
import type { OpenBlob } from "../host/weight-stream.ts";
import type { ShardPlan } from "../shard/types.ts";
import type { PlanRecord } from "../store/records.ts";
import { PartialFile, storageError } from "./partial-file.ts";
import { StoreIndex } from "./store-index.ts";
import { type Leases, withStore } from "./store-locks.ts";

/** A plan as stored beside its shard graphs: which stored blob each of the model's files is. */
export interface StoredPlan {
  readonly plan: ShardPlan;
  /** Path in the model ("" = the model file) → SHA-256 of the stored blob. */
  readonly files: Readonly<Record<string, string>>;
}

/** What a complete file is called, and which site sent it (null: it came over a public URL). */
export interface BlobOrigin {
  readonly name: string;
  readonly pushedBy: string | null;
}

export type Room = (key: string, bytes: number) => Promise<void>;

/** Models in OPFS: blobs under their SHA-256, plans with one weightless graph a shard. Keepers only. */
export class ModelStore {
  private constructor(
    private readonly blobs: FileSystemDirectoryHandle,
    private readonly partial: FileSystemDirectoryHandle,
    private readonly plans: FileSystemDirectoryHandle,
    readonly index: StoreIndex,
  ) {}

  static async open(): Promise<ModelStore> {
    const { blobs, partial, plans } = await storeDirectories();
    return new ModelStore(blobs, partial, plans, await StoreIndex.open());
  }

  /** What has come of this URL so far. */
  resumeUrl(url: string, room: Room): Promise<PartialFile> {
    return withStore(() => PartialFile.open(this.partialNeeds(room), url, null));
  }

  /** A file that a page sends. */
  beginPush(origin: string, room: Room): Promise<PartialFile> {
    return withStore(() => PartialFile.open(this.partialNeeds(room), `push:${newId()}`, origin));
  }

  private partialNeeds(room: Room) {
    return { directory: this.partial, index: this.index, room };
  }

  /**
   * Puts a complete file under its digest and holds it.
   * @throws HoldfastError MODEL_INTEGRITY when it is not the one that was expected; then it is gone.
   */
  settle(file: PartialFile, expected: string | null, { name, pushedBy }: BlobOrigin, leases: Leases): Promise<string> {
    return withStore(async () => {
      const digest = file.complete();
      if (expected !== null && digest !== expected) {
        await file.discard();
        throw wrongHash(name, expected, digest);
      }
      await leases.hold(digest);
      if (!(await hasFile(this.blobs, digest, file.bytes))) await move(this.partial, file.file, this.blobs, digest);
      const uses = { pushedBy: pushedBy === null ? [] : [pushedBy], lastUsedAt: Date.now() };
      await this.index.putBlob({ digest, size: file.bytes, name, ...uses });
      await file.discard();
      return digest;
    });
  }

  /** Holds a blob that is there; false when it is not. */
  claim(digest: string, leases: Leases): Promise<boolean> {
    return withStore(async () => {
      const blob = await this.index.blob(digest);
      if (blob === undefined || !(await hasFile(this.blobs, digest, blob.size))) return false;
      await leases.hold(digest);
      await this.index.putBlob({ ...blob, lastUsedAt: Date.now() });
      return true;
    });
  }

  /** Synchronous random access. Close it before anybody else opens the blob to write. */
  async openBlob(digest: string): Promise<OpenBlob> {
    // The libraries' types lack the option: several may read one blob at once.
    const file = (await this.blobs.getFileHandle(digest)) as unknown as {
      createSyncAccessHandle(options: { mode: "read-only" }): Promise<FileSystemSyncAccessHandle>;
    };
    const handle = await file.createSyncAccessHandle({ mode: "read-only" });
    return {
      size: handle.getSize(),
      read: (offset, length) => {
        const bytes = new Uint8Array(length);
        return bytes.subarray(0, handle.read(bytes, { at: offset }));
      },
      close: () => handle.close(),
    };
  }

  writePlan(
    planId: string,
    stored: StoredPlan,
    graphs: readonly Uint8Array[],
    name: string,
    leases: Leases,
  ): Promise<void> {
    return withStore(async () => {
      await leases.hold(planId);
      const directory = await this.plans.getDirectoryHandle(planId, { create: true });
      for (const [index, graph] of graphs.entries()) await write(directory, `${index}.onnx`, graph);
      // Last: its presence says that the graphs are complete.
      const text = new TextEncoder().encode(JSON.stringify(stored));
      await write(directory, "plan.json", text);
      const bytes = graphs.reduce((sum, graph) => sum + graph.length, text.length);
      await this.index.putPlan(planRecord(planId, stored, bytes, name));
    });
  }

  async readPlan(planId: string): Promise<StoredPlan> {
    const stored = await readStored(this.plans, planId).catch((cause: unknown) => {
      throw new HoldfastError("STATE_LOST", "The model is no longer in the store; create the session again.", {
        cause,
      });
    });
    await this.index.touchPlan(planId, Date.now());
    return stored;
  }

  async readGraph(planId: string, shard: number): Promise<Uint8Array> {
    const directory = await this.plans.getDirectoryHandle(planId);
    const file = await (await directory.getFileHandle(`${shard}.onnx`)).getFile();
    return new Uint8Array(await file.arrayBuffer());
  }

  /** Throws away what nobody will go on with, and brings files and index together after a context that died between. */
  tidy(now = Date.now()): Promise<void> {
    return withStore(async () => {
      const { blobs, plans, partials } = await this.index.contents();
      const known = new Map(partials.map((part) => [part.file, part]));
      for await (const [name] of entries(this.partial)) {
        const part = known.get(name);
        const isStale = part === undefined || part.origin !== null || now - part.updatedAt > PARTIAL_KEPT_MS;
        // A file that somebody writes to cannot be removed.
        if (isStale && (await removed(this.partial, name)) && part !== undefined)
          await this.index.removePartial(part.key);
      }
      const blobFiles = new Map<string, number>();
      for await (const [digest, handle] of entries(this.blobs))
        blobFiles.set(digest, (await (handle as FileSystemFileHandle).getFile()).size);
      const indexed = new Set(blobs.map(({ digest }) => digest));
      for (const [digest, size] of blobFiles)
        if (!indexed.has(digest))
          await this.index.putBlob({ digest, size, name: digest.slice(0, 12), pushedBy: [], lastUsedAt: 0 });
      await this.index.remove(
        blobs.filter(({ digest }) => !blobFiles.has(digest)).map(({ digest }) => digest),
        [],
      );
      const listed = new Set(plans.map(({ planId }) => planId));
      for await (const [planId] of entries(this.plans)) {
        if (listed.delete(planId)) continue;
        const stored = await readStored(this.plans, planId).catch(() => null);
        if (stored === null) await removed(this.plans, planId);
        else await this.index.putPlan({ ...planRecord(planId, stored, 0, planId.slice(0, 12)), lastUsedAt: 0 });
      }
      await this.index.remove([], [...listed]);
    });
  }
}

/** Throws MODEL_DELETED when a plan, or a file that it cuts, is not there any more. */
export async function checkStoredPlan(planId: string): Promise<void> {
  const { blobs, plans } = await storeDirectories();
  try {
    const { files } = await readStored(plans, planId);
    for (const digest of Object.values(files)) await blobs.getFileHandle(digest);
  } catch (cause) {
    throw new HoldfastError(
      "MODEL_DELETED",
      "The session's model was deleted from the store meanwhile. Create a session of it anew; that loads it again.",
      { cause },
    );
  }
}

/** The store's folders; the service worker evicts from them. */
export async function storeDirectories() {
  const root = await navigator.storage.getDirectory();
  const directory = (name: string) => root.getDirectoryHandle(name, { create: true });
  return {
    blobs: await directory("blobs"),
    partial: await directory("partial"),
    plans: await directory("plans"),
  };
}

/** False: somebody uses it. */
export async function removed(directory: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await directory.removeEntry(name, { recursive: true });
    return true;
  } catch (error) {
    return error instanceof DOMException && error.name === "NotFoundError";
  }
}

export function wrongHash(name: string, expected: string, found: string): HoldfastError {
  return new HoldfastError(
    "MODEL_INTEGRITY",
    `${name} is not the file that integrity names: its SHA-256 is ${found}, not ${expected}. Check both; the file was thrown away.`,
  );
}

function planRecord(planId: string, { files }: StoredPlan, bytes: number, name: string): PlanRecord {
  const { "": graph, ...external } = files;
  const digests = [...new Set([graph ?? "", ...Object.values(external)])];
  return { planId, name, digests, bytes, lastUsedAt: Date.now() };
}

async function readStored(plans: FileSystemDirectoryHandle, planId: string): Promise<StoredPlan> {
  const file = await (await plans.getDirectoryHandle(planId)).getFileHandle("plan.json");
  return JSON.parse(await (await file.getFile()).text()) as StoredPlan;
}

async function hasFile(directory: FileSystemDirectoryHandle, name: string, size: number): Promise<boolean> {
  try {
    return (await (await directory.getFileHandle(name)).getFile()).size === size;
  } catch {
    return false;
  }
}

async function move(from: FileSystemDirectoryHandle, name: string, to: FileSystemDirectoryHandle, as: string) {
  const file = (await from.getFileHandle(name)) as unknown as {
    move(to: FileSystemDirectoryHandle, name: string): Promise<void>;
  };
  await file.move(to, as);
}

function entries(directory: FileSystemDirectoryHandle): AsyncIterable<[string, FileSystemHandle]> {
  return directory as unknown as AsyncIterable<[string, FileSystemHandle]>;
}

async function write(directory: FileSystemDirectoryHandle, name: string, bytes: Uint8Array): Promise<void> {
  const handle = await (await directory.getFileHandle(name, { create: true })).createSyncAccessHandle();
  try {
    handle.truncate(0);
    handle.write(bytes as Uint8Array<ArrayBuffer>);
    handle.flush();
  } catch (error) {
    throw storageError(error);
  } finally {
    handle.close();
  }
}

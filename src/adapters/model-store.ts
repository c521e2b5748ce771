import { createSHA256, type IHasher } from "hash-wasm";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { RangeReader, ShardPlan } from "../shard/types.ts";

/** A plan as stored beside its shard graphs: which stored blob each of the model's files is. */
export interface StoredPlan {
  readonly plan: ShardPlan;
  /** Path in the model ("" = the model file) → SHA-256 of the stored blob. */
  readonly files: Readonly<Record<string, string>>;
}

/** Models in OPFS: blobs under their SHA-256, plans with one weightless graph a shard. Keepers only. */
export class ModelStore {
  private constructor(
    private readonly blobs: FileSystemDirectoryHandle,
    private readonly partial: FileSystemDirectoryHandle,
    private readonly plans: FileSystemDirectoryHandle,
  ) {}

  static async open(): Promise<ModelStore> {
    const root = await navigator.storage.getDirectory();
    const directory = (name: string) => root.getDirectoryHandle(name, { create: true });
    return new ModelStore(await directory("blobs"), await directory("partial"), await directory("plans"));
  }

  async beginBlob(): Promise<BlobWriter> {
    const name = newId();
    const file = await this.partial.getFileHandle(name, { create: true });
    return new BlobWriter(await file.createSyncAccessHandle(), await createSHA256(), async (digest) => {
      if (digest === null) await this.partial.removeEntry(name);
      else
        await (file as unknown as { move(to: FileSystemDirectoryHandle, name: string): Promise<void> }).move(
          this.blobs,
          digest,
        );
    });
  }

  /** Synchronous random access for the planner. Close it before anybody else opens the blob to write. */
  async openBlob(digest: string): Promise<RangeReader & { close(): void }> {
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

  async readRange(digest: string, offset: number, length: number): Promise<Uint8Array> {
    const file = await (await this.blobs.getFileHandle(digest)).getFile();
    const bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
    if (bytes.length !== length)
      throw new HoldfastError(
        "BAD_MODEL",
        `A weight lies outside its file (${length} bytes at ${offset} of ${file.size}). Give the complete file.`,
      );
    return bytes;
  }

  async writePlan(planId: string, stored: StoredPlan, graphs: readonly Uint8Array[]): Promise<void> {
    const directory = await this.plans.getDirectoryHandle(planId, { create: true });
    for (const [index, graph] of graphs.entries()) await write(directory, `${index}.onnx`, graph);
    // Last: its presence says that the graphs are complete.
    await write(directory, "plan.json", new TextEncoder().encode(JSON.stringify(stored)));
  }

  async readPlan(planId: string): Promise<StoredPlan> {
    const directory = await this.plans.getDirectoryHandle(planId);
    const file = await (await directory.getFileHandle("plan.json")).getFile();
    return JSON.parse(await file.text()) as StoredPlan;
  }

  async readGraph(planId: string, shard: number): Promise<Uint8Array> {
    const directory = await this.plans.getDirectoryHandle(planId);
    const file = await (await directory.getFileHandle(`${shard}.onnx`)).getFile();
    return new Uint8Array(await file.arrayBuffer());
  }
}

/** One file on its way into the store; it exists under its digest only once it is complete. */
export class BlobWriter {
  private size = 0;

  constructor(
    private readonly handle: FileSystemSyncAccessHandle,
    private readonly hasher: IHasher,
    private readonly settle: (digest: string | null) => Promise<void>,
  ) {}

  get bytes(): number {
    return this.size;
  }

  write(bytes: Uint8Array): void {
    try {
      this.handle.write(bytes as Uint8Array<ArrayBuffer>, { at: this.size });
    } catch (error) {
      throw new HoldfastError(
        "QUOTA_EXCEEDED",
        `The browser's storage quota does not hold this model (${messageOf(error)}). Free disk space or release other models.`,
        { cause: error },
      );
    }
    this.hasher.update(bytes);
    this.size += bytes.length;
  }

  async finish(): Promise<string> {
    this.handle.flush();
    this.handle.close();
    const digest = this.hasher.digest("hex");
    await this.settle(digest);
    return digest;
  }

  async discard(): Promise<void> {
    this.handle.close();
    await this.settle(null);
  }
}

async function write(directory: FileSystemDirectoryHandle, name: string, bytes: Uint8Array): Promise<void> {
  const handle = await (await directory.getFileHandle(name, { create: true })).createSyncAccessHandle();
  try {
    handle.truncate(0);
    handle.write(bytes as Uint8Array<ArrayBuffer>);
    handle.flush();
  } finally {
    handle.close();
  }
}

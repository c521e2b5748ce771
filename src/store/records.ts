import type { Validators } from "./http.ts";

// What the model store knows of its files. Times are epoch milliseconds, digests 64 hex digits of a SHA-256.

/** A complete file, stored under its digest. */
export interface BlobRecord {
  readonly digest: string;
  readonly size: number;
  /** What people may call it: the end of its URL, or of the path that the page gave. */
  readonly name: string;
  /** Origins that sent the bytes themselves. Empty: it came over a URL that anybody may read. */
  readonly pushedBy: readonly string[];
  readonly lastUsedAt: number;
}

/** What a URL held when it was last read without credentials. */
export interface UrlRecord extends Validators {
  readonly url: string;
  readonly digest: string;
  /** When the server last said that this is so. */
  readonly checkedAt: number;
  /** Until then the server need not be asked again. */
  readonly freshUntil: number;
}

/** A file on its way in. */
export interface PartialRecord extends Validators {
  /** The URL, without a fragment; or `push:` and an id for bytes that a page sends. */
  readonly key: string;
  readonly file: string;
  readonly total: number | null;
  /** Bytes that are surely on disk, and the state of the hasher after them. */
  readonly bytes: number;
  readonly hasher: Uint8Array | null;
  /** Room that was made for it. */
  readonly reservedBytes: number;
  readonly origin: string | null;
  readonly updatedAt: number;
}

/** A model's cut: one weightless graph a shard, and the blobs that its weights lie in. */
export interface PlanRecord {
  readonly planId: string;
  readonly name: string;
  /** Digests of the model's files, the graph's first. */
  readonly digests: readonly string[];
  readonly bytes: number;
  readonly lastUsedAt: number;
}

export interface StoreContents {
  readonly blobs: readonly BlobRecord[];
  readonly plans: readonly PlanRecord[];
  readonly partials: readonly PartialRecord[];
}

/** A blob's record after one more use; who sent it is remembered, and forgotten once it is public. */
export function mergeBlob(known: BlobRecord | undefined, next: BlobRecord): BlobRecord {
  if (known === undefined) return next;
  const isPublic = known.pushedBy.length === 0 || next.pushedBy.length === 0;
  const pushedBy = isPublic ? [] : [...new Set([...known.pushedBy, ...next.pushedBy])];
  return { ...known, pushedBy, lastUsedAt: Math.max(known.lastUsedAt, next.lastUsedAt) };
}

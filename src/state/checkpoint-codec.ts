import { arrayOf, bytesOf } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";
import type { ElementType } from "../base/tensor.ts";
import type { CheckpointRecord, KeptVersion, VersionId } from "../protocol/host.ts";

/** Which state a stored piece belongs to. What does not match is refused, never used. */
export interface CheckpointKey {
  readonly sessionId: string;
  readonly stage: number;
  /** Digest of the plan. */
  readonly planId: string;
  /** Digest of the shard's weights. */
  readonly weights: string;
}

interface Header extends CheckpointKey {
  readonly run: number;
  /** Digest of the payload. */
  readonly payload: string;
  readonly previous: number | null;
  readonly state: VersionId | null;
  readonly kept: readonly KeptVersion[];
  readonly versions: readonly {
    readonly version: VersionId;
    readonly base: VersionId | null;
    readonly tensors: readonly {
      readonly input: string;
      readonly appendAxis: number | null;
      readonly at?: { readonly from: number; readonly size: number };
      readonly type: ElementType;
      readonly dims: readonly number[];
      readonly bytes: number;
    }[];
  }[];
}

/** A record as it lies in storage. `digest` covers the header, which names the digest of the payload. */
export interface StoredCheckpoint {
  readonly sessionId: string;
  readonly stage: number;
  readonly run: number;
  readonly header: string;
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Of the payload: the storage's index tells sizes by it. */
  readonly bytes: number;
  readonly digest: string;
}

export async function encodeCheckpoint(key: CheckpointKey, record: CheckpointRecord): Promise<StoredCheckpoint> {
  const { run, previous, state, kept } = record;
  const versions = record.versions.map(({ version, base, tensors }) => ({
    version,
    base,
    tensors: tensors.map(({ input, appendAxis, at, tensor: { type, dims, data } }) => {
      return { input, appendAxis, ...(at && { at }), type, dims, bytes: data.byteLength };
    }),
  }));
  const all = record.versions.flatMap(({ tensors }) => tensors.map(({ tensor }) => tensor));
  const payload = new Uint8Array(all.reduce((sum, { data }) => sum + data.byteLength, 0));
  let at = 0;
  for (const tensor of all) {
    payload.set(bytesOf(tensor), at);
    at += tensor.data.byteLength;
  }
  const { sessionId, stage } = key;
  const identity = { ...key, run, payload: await sha256(payload) };
  const header = JSON.stringify({ ...identity, previous, state, kept, versions } satisfies Header);
  return { sessionId, stage, run, header, payload, bytes: payload.byteLength, digest: await sha256(utf8(header)) };
}

/** Whether what lies in storage is what was written, whoever it belongs to. */
export async function isIntact({ header, payload, bytes, digest }: StoredCheckpoint): Promise<boolean> {
  if (bytes !== payload.byteLength || (await sha256(utf8(header))) !== digest) return false;
  return (JSON.parse(header) as Header).payload === (await sha256(payload));
}

/** Null when the record is not intact or belongs to something else. */
export async function decodeCheckpoint(key: CheckpointKey, stored: StoredCheckpoint): Promise<CheckpointRecord | null> {
  if (!(await isIntact(stored))) return null;
  const header = JSON.parse(stored.header) as Header;
  if (
    header.sessionId !== key.sessionId ||
    header.stage !== key.stage ||
    header.planId !== key.planId ||
    header.weights !== key.weights ||
    header.run !== stored.run
  )
    return null;
  let read = 0;
  const versions = header.versions.map(({ version, base, tensors }) => ({
    version,
    base,
    tensors: tensors.map(({ input, appendAxis, at, type, dims, bytes }) => {
      const data = new (arrayOf(type))(stored.payload.slice(read, read + bytes).buffer as ArrayBuffer);
      read += bytes;
      return { input, appendAxis, ...(at && { at }), tensor: { type, dims, data } };
    }),
  }));
  const { run, previous, state, kept } = header;
  return { run, previous, state, kept, versions };
}

/** The chain that leads to `run`, oldest first; null when a link is missing. */
export function chainTo(records: ReadonlyMap<number, CheckpointRecord>, run: number): CheckpointRecord[] | null {
  const chain: CheckpointRecord[] = [];
  for (let at: number | null = run; at !== null; ) {
    const record: CheckpointRecord | undefined = records.get(at);
    // A link that does not go back in time would loop for ever.
    if (record === undefined || (record.previous !== null && record.previous >= at)) return null;
    chain.push(record);
    at = record.previous;
  }
  return chain.reverse();
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

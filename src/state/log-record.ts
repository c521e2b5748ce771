import type { Sha256 } from "../base/digest.ts";

/** What every transaction carries beside its action and data. */
export interface Stamp {
  /** UUID. */
  readonly id: string;
  /** Epoch milliseconds; seconds in an export. */
  readonly timestamp: number;
  /** From 1, without gaps. */
  readonly sequence: number;
}
export interface LogBody {
  readonly action: string;
  readonly data: unknown;
}

/** A transaction as it lies in storage. `digest` covers it and, through the one before, the whole log up to it. */
export interface LogRecord {
  readonly schema: number;
  readonly sequence: number;
  /** JSON of `{id, timestamp, action, data}`. */
  readonly body: string;
  readonly digest: string;
}

/** The state after transaction `sequence`, whose digest is `chain`. */
export interface LogSnapshot {
  readonly schema: number;
  readonly sequence: number;
  /** Characters of all transactions up to this one. Not in the forms before it was counted. */
  readonly total?: number;
  readonly chain: string;
  /** JSON of the state. */
  readonly body: string;
  readonly digest: string;
}

/** The log's last transaction, written with it: what is missing at the end is missed. */
export interface LogHead {
  readonly schema: number;
  readonly sequence: number;
  readonly chain: string;
  readonly digest: string;
}

/** The chain before the first transaction. */
export const CHAIN_START = "";

export function sealRecord(transaction: LogBody & Stamp, schema: number, chain: string, sha256: Sha256): LogRecord {
  const { sequence, ...rest } = transaction;
  const record = { schema, sequence, body: JSON.stringify(rest) };
  return { ...record, digest: recordDigest(record, chain, sha256) };
}

export function sealSnapshot(snapshot: Omit<LogSnapshot, "digest">, sha256: Sha256): LogSnapshot {
  return { ...snapshot, digest: snapshotDigest(snapshot, sha256) };
}

export function sealHead(head: Omit<LogHead, "digest">, sha256: Sha256): LogHead {
  return { ...head, digest: headDigest(head, sha256) };
}

/** Whether this record is intact and follows the one whose digest is `chain`. */
export function isNext(record: LogRecord, chain: string, sha256: Sha256): boolean {
  return recordDigest(record, chain, sha256) === record.digest;
}

export function isIntactSnapshot(snapshot: LogSnapshot, sha256: Sha256): boolean {
  return snapshotDigest(snapshot, sha256) === snapshot.digest;
}

export function isIntactHead(head: LogHead, sha256: Sha256): boolean {
  return headDigest(head, sha256) === head.digest;
}

export function openRecord<B extends LogBody>({ sequence, body }: LogRecord): B & Stamp {
  return { ...(JSON.parse(body) as B & Omit<Stamp, "sequence">), sequence };
}

function recordDigest({ schema, sequence, body }: Omit<LogRecord, "digest">, chain: string, sha256: Sha256): string {
  return sha256(`record\n${schema}\n${chain}\n${sequence}\n${body}`);
}

function snapshotDigest(snapshot: Omit<LogSnapshot, "digest">, sha256: Sha256): string {
  const { schema, sequence, total, chain, body } = snapshot;
  const counted = total === undefined ? "" : `${total}\n`;
  return sha256(`snapshot\n${schema}\n${sequence}\n${chain}\n${counted}${body}`);
}

/** The form of the head is the one thing that no later schema may change: by it a newer one is told from damage. */
function headDigest({ schema, sequence, chain }: Omit<LogHead, "digest">, sha256: Sha256): string {
  return sha256(`head\n${schema}\n${sequence}\n${chain}`);
}

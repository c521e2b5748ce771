import type { Sha256 } from "../base/digest.ts";
import { JOURNAL_AUDIT_RECORDS } from "../base/limits.ts";
import {
  CHAIN_START,
  isIntactHead,
  isIntactSnapshot,
  isNext,
  type LogHead,
  type LogRecord,
  type LogSnapshot,
} from "./log-record.ts";
import type { LogPoints, LogStorage } from "./log-storage.ts";

/** What a start found wrong with the stored log, and how many transactions cannot be had back. */
export interface LogDamage {
  readonly kind: "snapshot" | "gap" | "digest" | "truncated" | "head";
  /** The first transaction that is concerned. */
  readonly sequence: number;
  readonly lost: number;
}

/** The longest intact history that the storage holds. */
export interface LogReading {
  /** The newest intact snapshot; null: the log starts from nothing. */
  readonly base: LogSnapshot | null;
  /** What follows it, intact and without gaps. */
  readonly records: readonly LogRecord[];
  readonly sequence: number;
  readonly chain: string;
  readonly damage: readonly LogDamage[];
}

/** Reads what follows the newest intact snapshot, and checks all of it that is used. */
export async function readLog(
  { head, snapshots }: Omit<LogPoints, "first">,
  storage: Pick<LogStorage, "readRecords">,
  sha256: Sha256,
): Promise<LogReading> {
  const damage: LogDamage[] = [];
  const base = snapshots.findLast((snapshot) => {
    const isIntact = isIntactSnapshot(snapshot, sha256);
    if (!isIntact) damage.push({ kind: "snapshot", sequence: snapshot.sequence, lost: 0 });
    return isIntact;
  });
  const stored = await storage.readRecords(base?.sequence ?? 0);
  const { records, sequence, chain, bad } = intactPrefix(
    stored,
    base?.sequence ?? 0,
    base?.chain ?? CHAIN_START,
    sha256,
  );
  if (bad !== null) {
    const until = Math.max(stored.at(-1)?.sequence ?? 0, head?.sequence ?? 0);
    damage.push({ kind: bad, sequence: sequence + 1, lost: Math.max(1, until - sequence) });
  }
  const lastSnapshot = snapshots.at(-1)?.sequence ?? 0;
  damage.push(...headDamage(head, { sequence, chain, lastSnapshot, isCut: bad !== null }, sha256));
  return { base: base ?? null, records, sequence, chain, damage };
}

/**
 * The first transaction after `from` that is missing, damaged, or not the one that a snapshot follows; null: all up to
 * `until` are as they were written. Reads in slices.
 */
export async function firstBreak(
  storage: Pick<LogStorage, "readRecords">,
  from: Pick<LogSnapshot, "sequence" | "chain">,
  { snapshots, until }: { readonly snapshots: readonly LogSnapshot[]; readonly until: number },
  sha256: Sha256,
): Promise<Pick<LogDamage, "kind" | "sequence"> | null> {
  let { sequence, chain } = from;
  while (sequence < until) {
    const stored = await storage.readRecords(sequence, Math.min(JOURNAL_AUDIT_RECORDS, until - sequence));
    const part = intactPrefix(stored, sequence, chain, sha256);
    if (part.bad !== null || part.records.length === 0) return { kind: part.bad ?? "gap", sequence: part.sequence + 1 };
    const digests = new Map(part.records.map((record) => [record.sequence, record.digest]));
    const wrong = snapshots.find((snapshot) => (digests.get(snapshot.sequence) ?? snapshot.chain) !== snapshot.chain);
    if (wrong !== undefined) return { kind: "digest", sequence: wrong.sequence };
    ({ sequence, chain } = part);
  }
  return null;
}

function intactPrefix(
  stored: readonly LogRecord[],
  after: number,
  from: string,
  sha256: Sha256,
): { records: LogRecord[]; sequence: number; chain: string; bad: "gap" | "digest" | null } {
  const records: LogRecord[] = [];
  let sequence = after;
  let chain = from;
  for (const record of stored) {
    if (record.sequence !== sequence + 1) return { records, sequence, chain, bad: "gap" };
    if (!isNext(record, chain, sha256)) return { records, sequence, chain, bad: "digest" };
    records.push(record);
    sequence = record.sequence;
    chain = record.digest;
  }
  return { records, sequence, chain, bad: null };
}

function headDamage(
  head: LogHead | null,
  reached: {
    readonly sequence: number;
    readonly chain: string;
    readonly lastSnapshot: number;
    readonly isCut: boolean;
  },
  sha256: Sha256,
): LogDamage[] {
  const { sequence, chain, lastSnapshot, isCut } = reached;
  if (head === null) {
    return sequence === 0 && lastSnapshot === 0 && !isCut ? [] : [{ kind: "head", sequence, lost: 0 }];
  }
  if (!isIntactHead(head, sha256)) return [{ kind: "head", sequence, lost: 0 }];
  const until = Math.max(head.sequence, lastSnapshot);
  if (until > sequence && !isCut) return [{ kind: "truncated", sequence: sequence + 1, lost: until - sequence }];
  // More than the head tells of: a write that was torn before its head. What follows the chain did happen.
  if (head.sequence < sequence) return [{ kind: "head", sequence, lost: 0 }];
  return head.sequence === sequence && head.chain !== chain ? [{ kind: "head", sequence, lost: 0 }] : [];
}

import type { Sha256 } from "../base/digest.ts";
import {
  CHAIN_START,
  type LogHead,
  type LogRecord,
  type LogSnapshot,
  sealHead,
  sealRecord,
  sealSnapshot,
} from "./log-record.ts";
import type { Transaction } from "./pool-state.ts";

const FIRST_SCHEMA = 1;

/** The first schema's journal, as it lay in storage: plain objects, timestamps in seconds, one snapshot. */
export interface StoredFirst {
  readonly snapshot: unknown;
  readonly transactions: readonly unknown[];
}

/** The same in the sealed form, still of schema 1: the log itself upgrades what is in it. */
export function sealFirstSchema(
  stored: StoredFirst,
  sha256: Sha256,
): { readonly head: LogHead; readonly snapshot: LogSnapshot | null; readonly records: readonly LogRecord[] } {
  const schema = FIRST_SCHEMA;
  const first = stored.snapshot as { readonly sequence: number; readonly state: unknown } | undefined;
  const start = { schema, sequence: first?.sequence ?? 0, chain: CHAIN_START };
  const snapshot = first === undefined ? null : sealSnapshot({ ...start, body: JSON.stringify(first.state) }, sha256);
  let { sequence, chain } = start;
  const records: LogRecord[] = [];
  for (const transaction of stored.transactions as readonly Transaction[]) {
    // It could not tell what was missing: what does not follow is left behind, as it would be today.
    if (transaction.sequence !== sequence + 1) continue;
    const record = sealRecord({ ...transaction, timestamp: transaction.timestamp * 1000 }, schema, chain, sha256);
    records.push(record);
    ({ sequence } = record);
    chain = record.digest;
  }
  return { head: sealHead({ schema, sequence, chain }, sha256), snapshot, records };
}

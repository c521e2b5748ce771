import { newBrowser } from "./browser-reducer.ts";
import { EMPTY_POOL, type PoolHost, type PoolState, type Transaction, type TransactionBody } from "./pool-state.ts";
import { applyTransaction } from "./reducer.ts";
import { type LogNeeds, type LogSubject, TransactionLog } from "./transaction-log.ts";

/** The pool's transaction log. */
export type Journal = TransactionLog<PoolState, TransactionBody>;

/**
 * Schema of the stored journal. 1: structured clones without digests, token ids as one list, hosts without the seed's
 * browser state. 2: digests, ids in pieces, browser state. 3: snapshots count what was appended.
 */
export const JOURNAL_SCHEMA = 3;

const SUBJECT: LogSubject<PoolState, TransactionBody> = {
  empty: EMPTY_POOL,
  apply: applyTransaction,
  schema: JOURNAL_SCHEMA,
  upgradeState: (state, from) => (from === 1 ? upgradedPool(state as PoolStateOfSchema1) : (state as PoolState)),
  // Its actions and data are those of today.
  upgradeTransaction: (transaction) => transaction as Transaction,
  damaged: (data) => ({ action: "repair_log", data }),
};

/** Snapshot, then every transaction after it, checked and repaired. Throws STORE_NEWER for a newer version's journal. */
export function openJournal(needs: LogNeeds): Promise<Journal> {
  return TransactionLog.open(SUBJECT, needs);
}

type PoolStateOfSchema1 = Omit<PoolState, "repairs" | "hosts" | "sessions"> & {
  readonly hosts: Readonly<
    Record<string, Omit<PoolHost, keyof ReturnType<typeof newBrowser>> & Pick<PoolHost, "status">>
  >;
  readonly sessions: Readonly<
    Record<
      string,
      Omit<PoolState["sessions"][string], "ids"> & { readonly ids: readonly (number | readonly number[])[] }
    >
  >;
};

function upgradedPool(state: PoolStateOfSchema1): PoolState {
  const hosts = Object.entries(state.hosts).map(([hostId, host]) => [
    hostId,
    { ...newBrowser("unknown", host.openedAt), ...host },
  ]);
  const sessions = Object.entries(state.sessions).map(([sessionId, session]) => [
    sessionId,
    // The last build of schema 1 had pieces already.
    { ...session, ids: typeof session.ids[0] === "number" ? [session.ids] : session.ids },
  ]);
  return { ...state, hosts: Object.fromEntries(hosts), sessions: Object.fromEntries(sessions), repairs: [] };
}

import type { Sha256 } from "../base/digest.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Browsers, BrowserTransaction } from "./browser-record.ts";
import { applyBrowserTransaction } from "./browser-reducer.ts";
import type { Journal } from "./journal.ts";
import type { LogDamage } from "./log-check.ts";
import type { LogBody, Stamp } from "./log-record.ts";
import type { LogStorage } from "./log-storage.ts";
import { MemoryLogStorage } from "./log-storage.ts";
import { type LogSubject, type Replay, TransactionLog } from "./transaction-log.ts";

/** What a BrowserStateManager stands on: the pool's journal, or a log of its own. */
export interface BrowserLog {
  readonly browsers: Browsers;
  /** Transactions ever appended. */
  readonly length: number;
  /** Throws BAD_OPTIONS for what this log does not take. */
  append(transaction: BrowserTransaction): void;
  replay(fromSequence?: number): Promise<Replay>;
  history(): Promise<readonly (LogBody & Stamp)[]>;
}

interface DamageNote {
  readonly action: "repair_log";
  readonly data: LogDamage;
}

/** A log of browsers alone. */
export const BROWSER_SUBJECT: LogSubject<Browsers, BrowserTransaction | DamageNote> = {
  empty: {},
  apply: (browsers, transaction) =>
    transaction.action === "repair_log"
      ? browsers
      : applyBrowserTransaction(browsers, transaction, transaction.timestamp),
  schema: 1,
  upgradeState: (state) => state as Browsers,
  upgradeTransaction: (transaction) => transaction as BrowserTransaction & Stamp,
  damaged: (data) => ({ action: "repair_log", data }),
};

export interface BrowserLogNeeds {
  readonly sha256: Sha256;
  /** Epoch milliseconds. */
  now(): number;
  /** UUID. */
  newId(): string;
}

/** A log that lives as long as its owner. */
export function memoryBrowserLog(needs: BrowserLogNeeds, storage: LogStorage = new MemoryLogStorage()): BrowserLog {
  const log = new TransactionLog(BROWSER_SUBJECT, { ...needs, storage });
  return {
    get browsers() {
      return log.state;
    },
    get length() {
      return log.length;
    },
    append: (transaction) => void log.append(transaction),
    replay: (from) => log.replay(from),
    history: () => log.history(),
  };
}

/** The pool's journal as the log of its hosts. The pool alone opens and closes them: it needs a page for each. */
export function journalBrowserLog(journal: Journal): BrowserLog {
  return {
    get browsers() {
      return journal.state.hosts;
    },
    get length() {
      return journal.length;
    },
    append: (transaction) => {
      if (transaction.action === "add_browser" || transaction.action === "remove_browser")
        throw new HoldfastError(
          "BAD_OPTIONS",
          "Hosts are opened and closed by the pool, with the sessions that need them; open or release a session.",
        );
      // What cannot be written now goes out with the next transaction.
      journal.append(transaction).catch(() => undefined);
    },
    replay: (from) => journal.replay(from),
    history: () => journal.history(),
  };
}

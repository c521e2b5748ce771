import type { TransactionBody } from "../state/pool-state.ts";
import type { PoolNeeds } from "./needs.ts";

/**
 * Appends what must happen whether or not the disk takes it: it holds at once, and a full disk gets it with the next
 * transaction. What a caller is promised to be stored is appended instead.
 */
export function note({ journal }: Pick<PoolNeeds, "journal">, body: TransactionBody): Promise<void> {
  return journal.append(body).catch(() => undefined);
}

import { JOURNAL_COMPACT_AT, JOURNAL_COMPACT_BYTES, JOURNAL_SNAPSHOTS_KEPT } from "../base/limits.ts";

/** A snapshot's place in the log: after transaction `sequence`, when `total` characters had ever been appended. */
export interface LogPoint {
  readonly sequence: number;
  readonly total: number;
}

/** What stays of a log: these snapshots, and the transactions after `from`. */
export interface Retention {
  readonly kept: readonly LogPoint[];
  readonly from: LogPoint;
}

/**
 * The newest snapshots, because a start reads them; of the older ones those that are a whole log apart, because a
 * replay may begin there. Transactions go once two such stretches follow them. `points`: all snapshots, ascending.
 */
export function retained(points: readonly LogPoint[], from: LogPoint): Retention {
  const apart = [from];
  for (const point of points) if (isApart(apart.at(-1) ?? from, point)) apart.push(point);
  const [start = from] = apart.slice(-2);
  const kept = points.filter(
    ({ sequence }, at) =>
      at >= points.length - JOURNAL_SNAPSHOTS_KEPT ||
      // The one before the oldest transaction, too: by it they are checked.
      apart.some((point) => point.sequence === sequence && sequence >= start.sequence),
  );
  return { kept, from: start };
}

function isApart(before: LogPoint, point: LogPoint): boolean {
  return point.sequence - before.sequence >= JOURNAL_COMPACT_AT || point.total - before.total >= JOURNAL_COMPACT_BYTES;
}

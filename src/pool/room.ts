import { HoldfastError } from "../base/errors.ts";
import {
  EXTRA_HOSTS_MAX,
  HOSTS_MAX,
  HOSTS_PER_ORIGIN_MAX,
  PARKED_BYTES_PER_ORIGIN_MAX,
  PARKED_PER_ORIGIN_MAX,
  SESSIONS_PER_ORIGIN_MAX,
} from "../base/limits.ts";
import { LEVELS } from "../fault/levels.ts";
import type { HostReports } from "../history/host-reports.ts";
import { PROVIDERS, replicasOf, type SessionOptions } from "../protocol/options.ts";
import type { PoolState, SessionRecord, SessionStatus } from "../state/pool-state.ts";

/** Hosts that a session opens: one a shard, or just one where there are more shards than there can be hosts. */
export function hostsFor({ shards }: SessionOptions): number {
  return shards === null || shards > HOSTS_MAX ? 1 : shards;
}

/** Hosts of a session that has its plan, all replicas counted. */
export function hostCount({ plan, options }: Pick<SessionRecord, "plan" | "options">): number {
  return (plan?.shards.length ?? 0) * replicasOf(options);
}

/** Hosts that the level asks for beside them: a standby a stage, or the other replicas. */
function extraFor(options: SessionOptions): number {
  const standbys = LEVELS[options.faultToleranceLevel].standbys ? 1 : 0;
  return hostsFor(options) * (standbys + replicasOf(options) - 1);
}

/** Hosts are open for it, or on their way. */
export function hasHosts(status: SessionStatus): boolean {
  return status === "live" || status === "opening" || status === "resuming";
}

/**
 * Throws LIMIT_REACHED, TOO_MANY_HOSTS or PLACE_IN_USE when one more session has no room; `sessionId` is its own when it is
 * an old one that gets its hosts again.
 */
export function checkRoom(
  { sessions }: PoolState,
  { sessionId, origin, options }: Pick<SessionRecord, "origin" | "options"> & { readonly sessionId: string | null },
): void {
  const shards = hostsFor(options);
  const open = Object.values(sessions).filter((one) => hasHosts(one.status) && one.sessionId !== sessionId);
  const own = open.filter((session) => session.origin === origin);
  if (own.length >= SESSIONS_PER_ORIGIN_MAX) {
    throw new HoldfastError(
      "LIMIT_REACHED",
      `This site has ${SESSIONS_PER_ORIGIN_MAX} sessions open, the most it may have; release one.`,
    );
  }
  // Counted as promised, not as open: another session's hosts may be on their way.
  const used = open.reduce((sum, session) => sum + hostsFor(session.options), 0);
  const ownUsed = own.reduce((sum, session) => sum + hostsFor(session.options), 0);
  if (ownUsed + shards > HOSTS_PER_ORIGIN_MAX) {
    throw new HoldfastError(
      "TOO_MANY_HOSTS",
      `The session needs ${shards} hosts and this site uses ${ownUsed} of the ${HOSTS_PER_ORIGIN_MAX} that one site may have; release a session or ask for fewer shards.`,
    );
  }
  if (used + shards > HOSTS_MAX) {
    throw new HoldfastError(
      "TOO_MANY_HOSTS",
      `The session needs ${shards} hosts and ${used} of ${HOSTS_MAX} are in use; release a session or ask for fewer shards.`,
    );
  }
  const extra = extraFor(options);
  const usedExtra = open.reduce((sum, session) => sum + extraFor(session.options), 0);
  if (extra > 0 && usedExtra + extra > EXTRA_HOSTS_MAX) {
    throw new HoldfastError(
      "TOO_MANY_HOSTS",
      `Level ${options.faultToleranceLevel} needs ${extra} ${LEVELS[options.faultToleranceLevel].votes ? "more replicas" : "standbys"} and ${usedExtra} of ${EXTRA_HOSTS_MAX} are in use; release a session, ask for fewer shards or use level medium.`,
    );
  }
  // While an offscreen document lives, the death of the host pages' process would end the whole extension.
  const offscreen = options.place === "offscreen";
  const atRisk = (one: SessionOptions): boolean => one.faultToleranceLevel !== "none";
  const clash = open.find(({ options: other }) =>
    offscreen ? atRisk(other) : atRisk(options) && other.place === "offscreen",
  );
  if (clash !== undefined) {
    throw new HoldfastError(
      "PLACE_IN_USE",
      offscreen
        ? "A session above level none is open, and an offscreen document would put it at risk; use place tab."
        : "A session at level none uses the offscreen document, which would put this one at risk, and cannot be moved to tabs now; try again, or release that session.",
    );
  }
}

/** Throws OUT_OF_MEMORY where the replicas' weights are more than the device says that it has, before any of them is opened. */
export function checkMemory(
  { plan, options }: Pick<SessionRecord, "plan" | "options">,
  reports: Pick<HostReports, "own">,
): void {
  const replicas = replicasOf(options);
  const known = PROVIDERS.flatMap((provider) => reports.own(provider)?.capability.memoryGiB ?? []);
  if (replicas === 1 || plan === null || known.length === 0) return;
  const needed = (replicas * plan.shards.reduce((sum, { weightBytes }) => sum + weightBytes, 0)) / 1024 ** 3;
  const device = Math.max(...known);
  if (needed <= device) return;
  throw new HoldfastError(
    "OUT_OF_MEMORY",
    `Level ${options.faultToleranceLevel} holds the weights ${replicas} times, ${needed.toFixed(1)} GiB in all; the device has ${device}. Use level high or medium, or a smaller model.`,
  );
}

/** A session that nobody runs, and what is stored for it. */
export interface Kept {
  readonly sessionId: string;
  /** Since when; epoch milliseconds. */
  readonly changedAt: number;
  readonly bytes: number;
}

/** Which of one origin's kept sessions go, so that the rest is within its quota: the oldest first. */
export function overQuota(kept: readonly Kept[]): string[] {
  const oldestFirst = kept.toSorted((a, b) => a.changedAt - b.changedAt);
  let count = kept.length;
  let bytes = kept.reduce((sum, session) => sum + session.bytes, 0);
  const gone: string[] = [];
  for (const session of oldestFirst) {
    if (count <= PARKED_PER_ORIGIN_MAX && bytes <= PARKED_BYTES_PER_ORIGIN_MAX) break;
    gone.push(session.sessionId);
    count -= 1;
    bytes -= session.bytes;
  }
  return gone;
}

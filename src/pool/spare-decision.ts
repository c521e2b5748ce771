import { SPARE_IDLE_MS } from "../base/limits.ts";
import type { Provider } from "../protocol/options.ts";
import type { PoolState, SessionRecord, SpareRecord } from "../state/pool-state.ts";
import { hasHosts } from "./room.ts";

export interface SpareDecision {
  /** Host ids of spares that nobody will need. */
  readonly close: readonly string[];
  /** Those whose frame is to start now. */
  readonly boot: readonly SpareRecord[];
  /** A new one for each. */
  readonly open: readonly Provider[];
}

const PHASES: readonly SpareRecord["phase"][] = ["ready", "starting", "waiting"];

/**
 * One spare for each provider that a session above level none computes with, while any of them works. Decides and does
 * nothing. None starts while something else does: a start takes a core for a second.
 */
export function decideSpares(state: PoolState, now: number, extraMax: number): SpareDecision {
  const all = Object.values(state.spares ?? {});
  const spares = all.filter(({ standby }) => standby === undefined);
  const sessions = Object.values(state.sessions).filter(({ status }) => hasHosts(status));
  const atRisk = sessions.filter(({ options }) => options.faultToleranceLevel !== "none");
  const wanted = now - lastWork(state, atRisk) < SPARE_IDLE_MS ? providersOf(atRisk) : [];
  const kept = wanted.flatMap((provider) => bestOf(spares, provider) ?? []);
  const close = spares.filter((spare) => !kept.includes(spare)).map(({ hostId }) => hostId);
  const isCalm = sessions.every(
    ({ status, stages }) => status === "live" && stages.every(({ phase }) => phase === "ready"),
  );
  if (!isCalm) return { close, boot: [], open: [] };
  const missing = wanted.filter((provider) => bestOf(kept, provider) === undefined);
  return {
    close,
    // One that has no tab yet is being opened, and boots when it has.
    boot: kept.filter(({ phase, tabId }) => phase === "waiting" && tabId !== null),
    open: missing.slice(0, Math.max(0, extraMax - (all.length - close.length))),
  };
}

function providersOf(sessions: readonly SessionRecord[]): Provider[] {
  const live = sessions.filter(({ status }) => status === "live");
  return [...new Set(live.flatMap(({ stages }) => stages.flatMap(({ provider }) => provider ?? [])))];
}

function bestOf(spares: readonly SpareRecord[], provider: Provider): SpareRecord | undefined {
  const own = spares.filter((spare) => spare.provider === provider);
  return own.toSorted((a, b) => PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase))[0];
}

/** When any of them, or a host of theirs, was last heard of; epoch milliseconds. */
function lastWork({ hosts }: PoolState, sessions: readonly SessionRecord[]): number {
  const times = sessions.flatMap(({ changedAt, stages }) => [
    changedAt,
    ...stages.map(({ hostId }) => hosts[hostId]?.lastHeartbeat ?? 0),
  ]);
  return Math.max(0, ...times);
}

import { STANDBY_DELAY_MS } from "../base/limits.ts";
import { LEVELS } from "../fault/levels.ts";
import { type PoolState, planStage, type SessionRecord, type SpareRecord } from "../state/pool-state.ts";
import { hasHosts } from "./room.ts";

export interface StandbyDecision {
  /** Host ids of standbys whose stage needs them no more. */
  readonly close: readonly string[];
  /** Spares that are ready, and the stages that they are to stand by. */
  readonly assign: readonly { readonly spare: SpareRecord; readonly session: SessionRecord; readonly stage: number }[];
}

/**
 * A standby for each stage of a live session whose level has them, on the stage's provider: a run that it replays gives the
 * same bits. Decides and does nothing. None is loaded while something else starts.
 */
export function decideStandbys(state: PoolState, now: number): StandbyDecision {
  const all = Object.values(state.spares ?? {});
  const kept = new Set<string>();
  const assign: StandbyDecision["assign"][number][] = [];
  const free = all.filter(({ standby, phase }) => standby === undefined && phase === "ready");
  const isCalm =
    isSettled(state, now) &&
    Object.values(state.sessions).every(
      ({ status, stages }) =>
        !hasHosts(status) || (status === "live" && stages.every(({ phase }) => phase === "ready")),
    );
  // One that races for a stage is of use until somebody has it.
  for (const { hostId, standby } of all) {
    const session = standby?.isRival ? state.sessions[standby.sessionId] : undefined;
    if (session !== undefined && hasHosts(session.status) && session.stages[standby?.stage ?? 0]?.phase !== "ready")
      kept.add(hostId);
  }
  for (const session of Object.values(state.sessions)) {
    const { status, options, stages } = session;
    if (status !== "live" || !LEVELS[options.faultToleranceLevel].standbys) continue;
    for (const [stage, { provider }] of stages.entries()) {
      // One that checks another's runs needs none.
      if (planStage(session, stage) !== stage) continue;
      const own = all.find(
        (spare) => isStandbyOf(spare, session, stage) && spare.provider === provider && !spare.standby?.moves,
      );
      if (own !== undefined) kept.add(own.hostId);
      const at = free.findIndex((spare) => spare.provider === provider);
      const [spare] = own === undefined && isCalm && at >= 0 ? free.splice(at, 1) : [];
      if (spare !== undefined) assign.push({ spare, session, stage });
    }
  }
  // One that is to move a stage is the migration's.
  const close = all.filter(({ standby, hostId }) => standby !== undefined && !standby.moves && !kept.has(hostId));
  return { close: close.map(({ hostId }) => hostId), assign };
}

/** Nobody waits for a recovery, or has only just stopped to: a start takes a core for a second. */
export function isSettled({ faults, sessions }: PoolState, now: number): boolean {
  return faults.every(({ sessionId, at, recoveredMs }) => {
    if (sessions[sessionId]?.status !== "live") return true;
    // One that nobody calls verified, in a session without work, is not waited for any longer.
    return now - (recoveredMs === null ? at : at + recoveredMs) >= (recoveredMs === null ? 3 : 1) * STANDBY_DELAY_MS;
  });
}

export function isStandbyOf({ standby }: SpareRecord, { sessionId }: SessionRecord, stage: number): boolean {
  return standby?.sessionId === sessionId && standby.stage === stage;
}

import type { KnownGeneration, OwnSession } from "../protocol/client.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { HostReport } from "../protocol/host.ts";
import type { PoolStatus } from "../protocol/popup.ts";
import { idCount } from "../state/id-list.ts";
import { type PoolState, planStage, type SessionRecord } from "../state/pool-state.ts";
import type { PoolHistory } from "./needs.ts";

export function stageInfos(state: PoolState, session: SessionRecord): StageInfo[] {
  return session.stages.map(({ hostId, attempt, phase, provider, weightBytes }, stage) => ({
    stage,
    ...(planStage(session, stage) === stage ? {} : { replicaOf: planStage(session, stage) }),
    hostId,
    place: state.hosts[hostId]?.place ?? session.options.place,
    phase,
    attempt,
    provider,
    weightBytes,
    nodes: session.plan?.shards[planStage(session, stage)]?.nodes ?? 0,
  }));
}

/** The generation under way or last ended; null: there was none, or a version before this one began it. */
export function knownGeneration(session: SessionRecord | undefined): KnownGeneration | null {
  if (session?.generation === undefined) return null;
  return { head: session.generation, promptIds: session.promptIds, ids: session.ids.flat() };
}

/** What a page may know of its origin's sessions. */
export function ownSessions(state: PoolState, origin: string): OwnSession[] {
  const own = Object.values(state.sessions).filter((session) => session.origin === origin);
  return own.map(({ sessionId, model, status, durableRun, ids, changedAt }) => ({
    id: sessionId,
    model,
    status,
    durableRun,
    tokens: idCount(ids),
    changedAt,
  }));
}

/** What the popup shows. `stateBytes`: stored state, by session. */
export function poolStatus(
  state: PoolState,
  { tracker, reports }: PoolHistory,
  stateBytes: ReadonlyMap<string, number> = new Map(),
): PoolStatus {
  const reportOf = (provider: StageInfo["provider"]): HostReport | null =>
    provider === null ? null : reports.own(provider);
  const { totalEntries, successfulEntries, successRate, operationTypes } = tracker.getStatistics();
  return {
    hosts: Object.values(state.hosts).map((host) => {
      const stage = state.sessions[host.sessionId]?.stages[host.stage];
      return {
        hostId: host.hostId,
        place: host.place,
        status: host.status,
        origin: host.origin,
        sessionId: host.sessionId,
        stage: host.stage,
        attempt: stage?.attempt ?? 0,
        provider: stage?.provider ?? null,
        weightBytes: stage?.weightBytes ?? 0,
        openedAt: host.openedAt,
        report: reportOf(stage?.provider ?? null),
      };
    }),
    spares: Object.values(state.spares ?? {}).map(({ hostId, provider, phase, standby }) => ({
      hostId,
      provider,
      phase,
      standby: standby === undefined ? null : { ...standby },
    })),
    sessions: Object.values(state.sessions).map((session) => ({
      sessionId: session.sessionId,
      origin: session.origin,
      model: session.model,
      status: session.status,
      level: session.options.faultToleranceLevel,
      strategy: session.options.recoveryStrategy,
      durableRun: session.durableRun,
      tokens: idCount(session.ids),
      stateBytes: stateBytes.get(session.sessionId) ?? null,
      stages: stageInfos(state, session),
    })),
    faults: state.faults,
    refusals: state.refusals,
    repairs: state.repairs.map(({ at, kind, lost }) => ({ at, kind, lost })),
    history: { totalEntries, successfulEntries, successRate, operationTypes },
    consents: Object.entries(state.consents).map(([origin, consent]) => ({ origin, ...consent })),
  };
}

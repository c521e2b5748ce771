import { ORIGIN_OPERATIONS_MAX } from "../base/limits.ts";
import type { StageInfo } from "../protocol/events.ts";
import type { OriginBrowser, OriginOperation, OriginStatus } from "../protocol/origin.ts";
import type { PoolState } from "../state/pool-state.ts";
import type { Breakers } from "./breakers.ts";
import type { PoolHistory } from "./needs.ts";
import { poolStatus, stageInfos } from "./status.ts";

/** What a site may know: its own sessions, the hosts that carry them, and what these did. */
export function originStatus(
  state: PoolState,
  history: PoolHistory,
  breakers: Pick<Breakers, "of">,
  origin: string,
): OriginStatus {
  const { sessions, faults } = poolStatus(state, history);
  const own = sessions.filter((session) => session.origin === origin);
  const ids = new Set(own.map(({ sessionId }) => sessionId));
  const browsers = Object.values(state.hosts).flatMap((host): OriginBrowser[] => {
    const session = state.sessions[host.sessionId];
    const stage = session === undefined ? undefined : stageInfos(state, session)[host.stage];
    if (host.origin !== origin || stage?.hostId !== host.hostId) return [];
    return [browserOf(host, stage, history.reports.ownType)];
  });
  const hostIds = new Set(browsers.map(({ browserId }) => browserId));
  return {
    browserType: history.reports.ownType,
    browsers,
    sessions: own,
    faults: faults.filter(({ sessionId }) => ids.has(sessionId)),
    operations: operationsOf(history, hostIds),
    circuitBreakers: breakers.of(origin),
  };
}

function browserOf(host: PoolState["hosts"][string], stage: StageInfo, ownType: string): OriginBrowser {
  const { hostId, status, sessionId, models, operations, resources, metrics, lastHeartbeat } = host;
  const browserType = host.browserType ?? ownType;
  return {
    browserId: hostId,
    browserType,
    status,
    sessionId,
    stage,
    models,
    operations,
    resources,
    metrics,
    lastHeartbeat,
  };
}

function operationsOf({ tracker }: PoolHistory, hostIds: ReadonlySet<string>): OriginOperation[] {
  const own = tracker.entries.flatMap((entry): OriginOperation[] => {
    const { operation, modelName, browserId, browserType, status, startTime, durationMs, metrics } = entry;
    if (!hostIds.has(browserId)) return [];
    return [{ operation, modelName, browserId, browserType, status, startTime, durationMs, metrics }];
  });
  return own.slice(-ORIGIN_OPERATIONS_MAX);
}

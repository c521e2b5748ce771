import type { DriverReports } from "../protocol/pool.ts";
import type { PoolState } from "../state/pool-state.ts";
import type { BrowserReports } from "./browser-reports.ts";
import type { HostManager } from "./host-manager.ts";
import type { Migrations } from "./migrations.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import type { RecoveryManager } from "./recovery-manager.ts";
import type { Settling } from "./settling.ts";

/** Begins the signal of a host that said something else than the other replicas of its stage. */
const OUTVOTED = "outvoted";

export type DriverReportHandlers = { readonly [E in keyof DriverReports]: (payload: DriverReports[E]) => void };

export interface DriverReportParts {
  readonly needs: PoolNeeds;
  readonly recovery: RecoveryManager;
  readonly hosts: HostManager;
  readonly settling: Settling;
  readonly migrations: Migrations;
  readonly browsers: BrowserReports;
}

/** What a bridge's driver reports of the sessions that its page owns; of others it has nothing to say. */
export function driverReports(
  bridgeId: string,
  { needs, recovery, hosts: manager, settling, browsers, migrations }: DriverReportParts,
): DriverReportHandlers {
  const state = (): PoolState => needs.journal.state;
  const owns = (sessionId: string): boolean => state().sessions[sessionId]?.bridgeId === bridgeId;
  return {
    settled: ({ sessionId }) => {
      if (owns(sessionId)) settling.settled(sessionId);
    },
    still: ({ sessionId, is }) => {
      if (owns(sessionId)) migrations.still({ sessionId, is });
    },
    operation: ({ sessionId, ...operation }) => {
      if (owns(sessionId)) browsers.operation(sessionId, operation);
    },
    verified: ({ sessionId }) => {
      if (!owns(sessionId)) return;
      const now = needs.now();
      for (const fault of state().faults) {
        const stage = state().sessions[sessionId]?.stages[fault.stage];
        if (fault.sessionId !== sessionId || fault.recoveredMs !== null || stage?.phase !== "ready") continue;
        const data = { sessionId, stage: fault.stage, ms: now - fault.at };
        void note(needs, { action: "stage_recovered", data });
      }
      for (const stage of state().sessions[sessionId]?.stages.keys() ?? []) recovery.verified(sessionId, stage);
    },
    // A busy host has no time to take ports, so it is asked before it is called lost.
    unreachable: ({ sessionId, hosts }) => {
      if (!owns(sessionId)) return;
      for (const { hostId, attempt } of hosts) {
        const found = recovery.stageOf(hostId, attempt);
        if (found?.session.sessionId === sessionId && found.session.stages[found.stage]?.phase === "ready")
          manager.ask({ hostId, attempt });
      }
    },
    // What it holds and what it has stored may be wrong: another host takes its place.
    outvoted: ({ sessionId, host, run }) => {
      if (!owns(sessionId) || recovery.stageOf(host.hostId, host.attempt)?.session.sessionId !== sessionId) return;
      recovery.fault(host, `${OUTVOTED}: its answer to run ${run} is not the one that others gave`, {
        pageGone: true,
        hostDropped: true,
      });
    },
  };
}

import { BROWSER_CHECKPOINT_MS, HEALTH_CHECK_MS } from "../base/limits.ts";
import type { PoolHost, PoolState, SessionRecord } from "../state/pool-state.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";

export interface IdleHosts {
  /** Whose probe run is due, and the attempt that they are at. */
  readonly probe: readonly { readonly hostId: string; readonly attempt: number }[];
  /** Whose state as browsers is to be taken down. */
  readonly checkpoint: readonly string[];
}

/**
 * What is due of hosts that carry a stage and have no work. `probedAt`: when each was last probed, by host, epoch milliseconds.
 * Decides and does nothing.
 */
export function dueOfIdle(state: PoolState, probedAt: ReadonlyMap<string, number>, now: number): IdleHosts {
  const idle = Object.values(state.sessions).flatMap((session) =>
    session.status === "live" ? session.stages.flatMap((_, stage) => idleHost(state, session, stage, now)) : [],
  );
  return {
    probe: idle.flatMap(({ host, attempt, every }) =>
      now - Math.max(probedAt.get(host.hostId) ?? 0, host.lastHeartbeat) >= every
        ? [{ hostId: host.hostId, attempt }]
        : [],
    ),
    checkpoint: idle.flatMap(({ host, session }) => {
      // After every run means: nothing is left to take down between them.
      const interval = session.options.checkpointIntervalMs || BROWSER_CHECKPOINT_MS;
      const last = host.checkpoints.at(-1)?.timestamp ?? Number.NEGATIVE_INFINITY;
      return now - last >= interval ? [host.hostId] : [];
    }),
  };
}

function idleHost(state: PoolState, session: SessionRecord, stage: number, now: number) {
  const record = session.stages[stage];
  const host: PoolHost | undefined = record === undefined ? undefined : state.hosts[record.hostId];
  if (record?.phase !== "ready" || host === undefined || Object.keys(host.operations).length > 0) return [];
  const every = session.options.browserHealthCheckIntervalMs ?? HEALTH_CHECK_MS;
  // A host that works is heard of.
  if (now - host.lastHeartbeat < Math.min(every, HEALTH_CHECK_MS)) return [];
  return [{ host, session, attempt: record.attempt, every }];
}

/**
 * Looks after idle hosts while the service worker is awake anyway: its timer ends with it, nothing wakes it, and a host that is
 * well says nothing, which would keep it awake. One that is not reports a fault, and is replaced as after any other.
 */
export class HealthProbes {
  private readonly probedAt = new Map<string, number>();
  private isWatching = false;

  constructor(private readonly needs: PoolNeeds) {}

  /** Something may have come to live. */
  watch(): void {
    const live = Object.values(this.needs.journal.state.sessions).filter(({ status }) => status === "live");
    if (this.isWatching || live.length === 0) return;
    this.isWatching = true;
    const every = live.map(({ options }) => options.browserHealthCheckIntervalMs ?? HEALTH_CHECK_MS);
    this.needs.after(Math.max(LOOK_MS_MIN, Math.min(...every)), () => {
      this.isWatching = false;
      this.look();
      this.watch();
    });
  }

  private look(): void {
    const { needs, probedAt } = this;
    const { state } = needs.journal;
    const now = needs.now();
    for (const hostId of probedAt.keys()) if (state.hosts[hostId] === undefined) probedAt.delete(hostId);
    const { probe, checkpoint } = dueOfIdle(state, probedAt, now);
    for (const lease of probe) {
      probedAt.set(lease.hostId, now);
      needs.toHost(lease.hostId, "probe", lease);
    }
    for (const hostId of checkpoint) void note(needs, { action: "create_browser_checkpoint", data: { hostId } });
  }
}

/** However short the interval is. */
const LOOK_MS_MIN = 1_000;

import { HoldfastError } from "../base/errors.ts";
import { USER_CLOSE_WINDOW_MS } from "../base/limits.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { DriverReports, HostToPool, Lease, PoolCalls } from "../protocol/pool.ts";
import type { PoolStatus, PopupCalls } from "../protocol/popup.ts";
import type { HostRecord, SessionRecord } from "../state/pool-state.ts";
import { ConsentDesk } from "./consent.ts";
import { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { RecoveryManager } from "./recovery-manager.ts";
import { SessionManager } from "./session-manager.ts";
import { poolStatus, stageInfos } from "./status.ts";

const TAB_CLOSED = "host tab closed";
/** A page whose port broke is looked for again this often, and so many times. */
const GONE_LOOK_MS = 250;
const GONE_LOOKS = 4;

/** The resource pool: wires consent, sessions, hosts and recovery to what bridges, host pages and the user say. */
export class ResourcePool {
  readonly consent: ConsentDesk;
  readonly sessions: SessionManager;
  private readonly hosts: HostManager;
  private readonly recovery: RecoveryManager;

  constructor(private readonly needs: PoolNeeds) {
    this.consent = new ConsentDesk(needs);
    this.hosts = new HostManager(needs, (lease, signal) =>
      this.recovery.fault(lease, signal, { pageGone: false, hostDropped: false }),
    );
    this.recovery = new RecoveryManager(needs, this.hosts, {
      tell: (session, event) => this.tell(session, event),
      gaveUp: (session, error) => void this.sessions.end(session, error),
    });
    this.sessions = new SessionManager(needs, this.hosts, this.recovery);
  }

  get state() {
    return this.needs.journal.state;
  }

  /** What a bridge's driver may call. `bridgeId` and `origin` come from the bridge frame, not from the page. */
  bridgeCalls(): {
    readonly [M in keyof PoolCalls]: (params: PoolCalls[M]["params"]) => Promise<PoolCalls[M]["result"]>;
  } {
    return {
      hello: async ({ origin, framedBy }) => {
        await this.consent.require(origin, framedBy);
        return null;
      },
      openSession: async (params) => {
        await this.consent.require(params.origin, params.framedBy);
        return this.sessions.open(params);
      },
      attachSession: async (params) => {
        await this.consent.require(params.origin, params.framedBy);
        return this.sessions.attach(params, (code, reason) => this.consent.refuse(params.origin, reason, code));
      },
      releaseSession: ({ bridgeId, sessionId }) => this.sessions.release(bridgeId, sessionId),
      abortOpen: ({ ingestId }) => this.sessions.abortOpen(ingestId),
    };
  }

  driverReports(): { readonly [E in keyof DriverReports]: (payload: DriverReports[E]) => void } {
    return {
      journal: (data) => void this.needs.journal.append({ action: "add_tokens", data }),
      verified: ({ sessionId }) => {
        const now = this.needs.now();
        for (const fault of this.state.faults) {
          const stage = this.state.sessions[sessionId]?.stages[fault.stage];
          if (fault.sessionId !== sessionId || fault.recoveredMs !== null || stage?.phase !== "ready") continue;
          const data = { sessionId, stage: fault.stage, ms: now - fault.at };
          void this.needs.journal.append({ action: "stage_recovered", data });
        }
        for (const stage of this.state.sessions[sessionId]?.stages.keys() ?? [])
          this.recovery.verified(sessionId, stage);
      },
    };
  }

  /** What one host page reports; `isOnPage` says which hosts live on it. */
  hostReports(isOnPage: (hostId: string) => boolean): {
    readonly [E in keyof HostToPool]: (payload: HostToPool[E]) => void;
  } {
    const current = (lease: Lease) => {
      const found = this.recovery.stageOf(lease.hostId, lease.attempt);
      // A stage that was declared lost is replaced; what its host may still say comes too late.
      return found?.session.stages[found.stage]?.phase === "lost" ? null : found;
    };
    return {
      hello: ({ hosts }) => {
        for (const { hostId, attempt } of hosts) {
          if (this.state.hosts[hostId] === undefined) this.needs.toHost(hostId, "close", { hostId });
          else if (current({ hostId, attempt }) === null) continue;
          this.hosts.pageReached(hostId);
        }
        // Its fault was told to a service worker that did not live to hear it, or its page was reloaded.
        for (const { hostId, sessionId, stage } of Object.values(this.state.hosts)) {
          const record = this.state.sessions[sessionId]?.stages[stage];
          if (!isOnPage(hostId) || record?.hostId !== hostId || record.phase !== "ready") continue;
          if (!hosts.some((host) => host.hostId === hostId && host.attempt === record.attempt && host.ready))
            this.lost(hostId, "the host was lost while the pool was away", false);
        }
      },
      booted: (lease) => {
        const found = current(lease);
        if (found === null) return;
        this.hosts.hostBooted(lease);
        this.hosts.loadIfBooted(found.session, found.stage);
      },
      bootRefused: ({ error, ...lease }) => {
        const found = current(lease);
        if (found !== null) this.sessions.stageRefused(found.session, error);
      },
      progress: ({ hostId, attempt, sessionId, phase, loadedBytes, totalBytes, bytesPerSecond }) => {
        const found = current({ hostId, attempt });
        if (found === null) return;
        this.hosts.progressed(hostId, attempt);
        const stage = phase === "weights" ? found.stage : null;
        const bytes = { loadedBytes, totalBytes, bytesPerSecond };
        this.sessions.progress(sessionId, { type: "progress", phase, ...bytes, stage });
      },
      planned: ({ sessionId, planId, plan }) => void this.sessions.planned(sessionId, planId, plan),
      ingestFailed: ({ sessionId, error }) => this.sessions.failOpen(sessionId, HoldfastError.from(error)),
      ready: ({ hostId, attempt, provider, weightBytes }) => {
        const found = current({ hostId, attempt });
        if (found === null) return;
        this.hosts.settled(hostId);
        void this.stageReady(found.session, found.stage, provider, weightBytes);
      },
      loadFailed: ({ error, ...lease }) => {
        const found = current(lease);
        if (found !== null) this.sessions.stageRefused(found.session, error);
      },
      fault: ({ hostId, attempt, signal }) =>
        this.recovery.fault({ hostId, attempt }, signal, { pageGone: false, hostDropped: true }),
    };
  }

  /** A host's page is there and can be talked to. */
  pageConnected(hostId: string): void {
    this.hosts.pageReached(hostId);
  }

  /** A host page's port broke: its tab was closed or reloaded, or its process died. */
  async pageDisconnected(hostId: string, looksLeft = GONE_LOOKS): Promise<void> {
    const pages = await this.needs.livePages();
    const host = this.state.hosts[hostId];
    if (host === undefined) return;
    if (host.place === "offscreen" ? pages.offscreen : pages.hostIds.has(hostId)) {
      // The browser may still list a page whose process has just died.
      if (looksLeft > 0) this.needs.after(GONE_LOOK_MS, () => void this.pageDisconnected(hostId, looksLeft - 1));
      return;
    }
    const tabGone = host.tabId === null || !(await this.needs.tabExists(host.tabId));
    if (this.state.hosts[hostId] !== undefined) this.pageLost(host, tabGone);
  }

  /** The user closed a host's tab (our own closing removes the host first). */
  tabRemoved(tabId: number): void {
    const host = Object.values(this.state.hosts).find((entry) => entry.tabId === tabId);
    if (host !== undefined) this.pageLost(host, true);
  }

  /** Two tabs of a session closed within a minute pause it. Asked of the journal: it outlives the service worker. */
  pageLost(host: HostRecord, tabGone: boolean): void {
    const { hostId, sessionId } = host;
    const session = this.state.sessions[sessionId];
    const now = this.needs.now();
    const closedBefore = this.state.faults.some(
      (fault) =>
        fault.sessionId === sessionId &&
        fault.hostId !== hostId &&
        fault.signal === TAB_CLOSED &&
        now - fault.at < USER_CLOSE_WINDOW_MS,
    );
    if (tabGone && closedBefore && session?.status === "live") {
      void this.sessions.pause(session);
      return;
    }
    this.hosts.pageLost(hostId);
    this.lost(hostId, tabGone ? TAB_CLOSED : "page process gone", tabGone);
  }

  /** A page and its tab went, and not by the user's hand: an extension that was reloaded, say. */
  pageVanished({ hostId }: HostRecord): void {
    this.hosts.pageLost(hostId);
    this.lost(hostId, "page process gone, and its tab", true);
  }

  popupCalls(): {
    readonly [M in "status" | "withdraw" | "closeSession"]: (
      params: PopupCalls[M]["params"],
    ) => Promise<PopupCalls[M]["result"]>;
  } {
    return {
      status: async (): Promise<PoolStatus> => poolStatus(this.state),
      withdraw: async ({ origin }) => {
        await this.needs.journal.append({ action: "remove_consent", data: { origin } });
        for (const session of Object.values(this.state.sessions)) {
          if (session.origin === origin)
            await this.sessions.end(
              session,
              new HoldfastError(
                "PERMISSION_DENIED",
                "The user withdrew this site's permission; ask them to allow it again.",
              ),
            );
        }
        return null;
      },
      closeSession: async ({ sessionId }) => {
        const session = this.state.sessions[sessionId];
        if (session !== undefined)
          await this.sessions.end(
            session,
            new HoldfastError("SESSION_RELEASED", "The user closed this session in Holdfast's popup; open it again."),
          );
        return null;
      },
    };
  }

  private lost(hostId: string, signal: string, pageGone: boolean): void {
    const host = this.state.hosts[hostId];
    const record = host === undefined ? undefined : this.state.sessions[host.sessionId]?.stages[host.stage];
    if (record?.hostId === hostId)
      this.recovery.fault({ hostId, attempt: record.attempt }, signal, { pageGone, hostDropped: true });
  }

  /** A host that carries no stage any more. */
  closeHost(hostId: string): Promise<void> {
    return this.hosts.close(hostId);
  }

  /** A recovery that the end of a service worker cut short. */
  resumeRecovery(sessionId: string, stage: number): void {
    const record = this.state.sessions[sessionId]?.stages[stage];
    if (record === undefined) return;
    this.recovery.resume(sessionId, stage);
  }

  private async stageReady(
    session: SessionRecord,
    stage: number,
    provider: "webgpu" | "webnn" | "wasm",
    weightBytes: number,
  ): Promise<void> {
    const { sessionId } = session;
    const before = session.stages[stage]?.provider ?? null;
    await this.needs.journal.append({ action: "stage_ready", data: { sessionId, stage, provider, weightBytes } });
    this.recovery.ready(sessionId, stage);
    const now = this.state.sessions[sessionId];
    if (now === undefined) return;
    const info = stageInfos(this.state, now)[stage];
    if (info !== undefined) this.tell(now, { type: "stage", stage: info });
    if (before !== null && before !== provider) this.tell(now, { type: "provider", stage, from: before, to: provider });
    this.sessions.stageReady(now);
  }

  private tell(session: SessionRecord, event: SessionEvent): void {
    if (event.type === "fault" && event.stage === 0 && session.planId === null) {
      // The bytes of the model went with this host: the page has to send them again.
      const error = new HoldfastError(
        "HOST_LOST",
        `The host died while the model came in (${event.signal}); open the session again.`,
      );
      this.sessions.failOpen(session.sessionId, error);
    }
    const { bridgeId } = this.state.sessions[session.sessionId] ?? session;
    this.needs.toBridge(bridgeId, "session", { sessionId: session.sessionId, event });
  }
}

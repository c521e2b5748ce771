import { HoldfastError } from "../base/errors.ts";
import { HANG_FLOOR_MS } from "../base/limits.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { OriginStatus } from "../protocol/origin.ts";
import type { Caller, HostToPool, Lease, PoolCalls } from "../protocol/pool.ts";
import type { PoolStatus, PopupCalls } from "../protocol/popup.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import { Breakers } from "./breakers.ts";
import { BrowserReports } from "./browser-reports.ts";
import { BrowserSync } from "./browser-sync.ts";
import { ConsentDesk } from "./consent.ts";
import { type DriverReportHandlers, driverReports } from "./driver-reports.ts";
import { HealthProbes } from "./health-probes.ts";
import { HostManager } from "./host-manager.ts";
import { HostPages } from "./host-pages.ts";
import { Migrations, MOVES_HANG_ON } from "./migrations.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { OperationRecorder } from "./operation-recorder.ts";
import { originStatus } from "./origin-status.ts";
import type { Refuse } from "./owners.ts";
import { RecoveryManager } from "./recovery-manager.ts";
import { SessionManager } from "./session-manager.ts";
import { Settling } from "./settling.ts";
import { SPARES_HANG_ON, Spares, tended } from "./spares.ts";
import { ownSessions, poolStatus, stageInfos } from "./status.ts";

/** The resource pool: wires consent, sessions, hosts and recovery to what bridges, host pages and the user say. */
export class ResourcePool {
  readonly consent: ConsentDesk;
  readonly sessions: SessionManager;
  readonly spares: Spares;
  /** Durable points before the extension lets itself be replaced. */
  readonly settling: Settling;
  /** Planned moves of stages from host to host. */
  readonly migrations: Migrations;
  /** What the browser tells of hosts' tabs and pages. */
  readonly pages: HostPages;
  private readonly hosts: HostManager;
  private readonly probes: HealthProbes;
  private readonly breakers: Breakers;
  private readonly recovery: RecoveryManager;
  private readonly recorder: OperationRecorder;
  private readonly browsers: BrowserReports;
  private readonly sync = new BrowserSync();
  private readonly needs: PoolNeeds;

  constructor(given: PoolNeeds) {
    this.recorder = new OperationRecorder(given);
    const spared = tended(this.recorder.watched(), SPARES_HANG_ON, () => {
      this.spares.tend();
      this.probes.watch();
    });
    const needs = tended(spared, MOVES_HANG_ON, () => this.migrations.look());
    this.needs = needs;
    this.consent = new ConsentDesk(needs);
    this.breakers = new Breakers(needs.now);
    this.hosts = new HostManager(needs, this.breakers, (lease, signal, pageGone) =>
      this.recovery.fault(lease, signal, { pageGone, hostDropped: pageGone }),
    );
    this.spares = new Spares(needs, this.hosts, this.breakers, (sessionId, stage) =>
      this.recovery.rivalLost(sessionId, stage),
    );
    this.probes = new HealthProbes(needs);
    this.migrations = new Migrations(needs, this.hosts, this.spares, (session, event) => this.tell(session, event));
    this.recovery = new RecoveryManager(needs, this.hosts, this.spares, this.breakers, {
      tell: (session, event) => this.tell(session, event),
      gaveUp: (session, error) => {
        this.recorder.gaveUp(session.sessionId);
        this.sessions.gaveUp(session, error);
      },
    });
    this.settling = new Settling(needs);
    this.browsers = new BrowserReports(needs);
    this.sessions = new SessionManager(needs, this.hosts, this.recovery, () => this.migrations.emptyOffscreen());
    const pause = (session: SessionRecord): Promise<void> => this.sessions.pause(session);
    this.pages = new HostPages(needs, pause, this.hosts, this.spares, this.recovery);
  }

  get state() {
    return this.needs.journal.state;
  }

  /**
   * What a bridge's driver may call. `bridgeId` is the port's; `origin` comes from the bridge frame, not from the page.
   */
  bridgeCalls(bridgeId: string): {
    readonly [M in keyof PoolCalls]: (params: PoolCalls[M]["params"]) => Promise<PoolCalls[M]["result"]>;
  } {
    const admit = async (caller: Caller): Promise<void> => {
      if (caller.bridgeId !== bridgeId)
        throw await this.consent.refuse(
          caller.origin,
          "A frame of the extension spoke in the name of another page's; reload the page.",
        );
      await this.consent.require(caller.origin, caller.framedBy);
    };
    const owned = (sessionId: string): void => {
      if (this.state.sessions[sessionId]?.bridgeId !== bridgeId)
        throw new HoldfastError("SESSION_IN_USE", "The session has another owner by now; what this one did is past.");
    };
    return {
      hello: async (caller) => {
        await admit(caller);
        return null;
      },
      openSession: (params) => this.sessions.open(params, () => admit(params)),
      attachSession: async (params) => {
        await admit(params);
        const refuse: Refuse = (code, reason) => this.consent.refuse(params.origin, reason, code);
        const info = await this.sessions.attach(params, refuse);
        for (const stage of params.known ?? []) this.recovery.known(params.sessionId, stage);
        return info;
      },
      resumeSession: async (params) => {
        await admit(params);
        return this.sessions.resume(params, (code, reason) => this.consent.refuse(params.origin, reason, code));
      },
      listSessions: async (caller) => {
        await admit(caller);
        return ownSessions(this.state, caller.origin);
      },
      journal: async ({ sessionId, entry }) => {
        owned(sessionId);
        await this.needs.journal.append({ action: "add_tokens", data: { sessionId, ...entry } });
        return null;
      },
      durable: async ({ sessionId, run }) => {
        owned(sessionId);
        const data = { sessionId, at: this.needs.now(), durableRun: run };
        await this.needs.journal.append({ action: "update_session", data });
        return null;
      },
      parkSession: ({ sessionId }) => this.sessions.parkIdle(bridgeId, sessionId),
      releaseSession: ({ sessionId }) => this.sessions.release(bridgeId, sessionId),
      abortOpen: ({ ingestId }) => this.sessions.abortOpen(ingestId),
      originStatus: async ({ known, ...caller }) => {
        await admit(caller);
        return this.sync.news(bridgeId, known, this.originStatus(caller.origin));
      },
      failHost: async (params) => {
        await admit(params);
        return this.recovery.reported(params);
      },
      moveHost: async (params) => {
        await admit(params);
        return this.migrations.asked(params);
      },
    };
  }

  driverReports(bridgeId: string): DriverReportHandlers {
    const { needs, recovery, hosts, settling, browsers, migrations } = this;
    return driverReports(bridgeId, { needs, recovery, hosts, settling, browsers, migrations });
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
          if (this.state.spares?.[hostId] !== undefined) continue;
          const host = this.state.hosts[hostId];
          const record = host === undefined ? undefined : this.state.sessions[host.sessionId]?.stages[host.stage];
          if (this.hosts.hostSays({ hostId, attempt }, record)) {
            this.hosts.pageReached(hostId);
            const lease = { hostId, attempt: record?.attempt ?? attempt };
            this.recovery.fault(lease, "the host was started while the pool was away", {
              pageGone: false,
              hostDropped: true,
            });
            continue;
          }
          if (host === undefined) this.needs.toHost(hostId, "close", { hostId });
          else if (current({ hostId, attempt }) === null) continue;
          this.hosts.pageReached(hostId);
        }
        // Its fault was told to a service worker that did not live to hear it, or its page was reloaded.
        for (const { hostId, sessionId, stage } of Object.values(this.state.hosts)) {
          const record = this.state.sessions[sessionId]?.stages[stage];
          if (!isOnPage(hostId) || record?.hostId !== hostId || record.phase !== "ready") continue;
          if (!hosts.some((host) => host.hostId === hostId && host.attempt === record.attempt && host.ready))
            this.recovery.fault({ hostId, attempt: record.attempt }, "the host was lost while the pool was away", {
              pageGone: false,
              hostDropped: true,
            });
        }
      },
      booted: (report) => {
        const { hostId, attempt } = report;
        const lease = { hostId, attempt };
        if (this.spares.booted(lease)) return this.recorder.booted(report);
        const found = current(lease);
        if (found === null) return;
        this.recorder.booted(report);
        this.hosts.hostBooted(lease, report.provider);
        this.hosts.loadIfBooted(found.session, found.stage);
      },
      bootRefused: ({ error, ...lease }) => {
        const found = current(lease);
        if (found !== null) this.sessions.stageRefused(found.session, error);
        else this.spares.lost(lease);
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
        this.spares.loaded({ hostId, attempt });
        this.recovery.rivalLoaded({ hostId, attempt });
        if (found === null) return;
        this.hosts.settled(hostId);
        void this.stageReady(found.session, found.stage, provider, weightBytes);
      },
      loadFailed: ({ error, ...lease }) => {
        const found = current(lease);
        if (found !== null) this.sessions.stageRefused(found.session, error);
        else this.spares.lost(lease);
      },
      resources: ({ hostId, attempt, resources }) => {
        if (current({ hostId, attempt }) !== null) this.browsers.resources(hostId, resources);
      },
      alive: ({ idleMs, ...lease }) => {
        if (current(lease) === null) return;
        this.hosts.settled(lease.hostId);
        if (idleMs > HANG_FLOOR_MS)
          this.recovery.fault(lease, "no sign of life from the host, whose page answers", {
            pageGone: false,
            hostDropped: true,
          });
      },
      stageTimes: ({ times, ...lease }) => {
        const found = current(lease);
        if (found !== null) this.recorder.stageTimes(found.session, found.stage, times);
        this.spares.tend();
      },
      fault: ({ hostId, attempt, signal }) => {
        this.spares.lost({ hostId, attempt });
        this.recovery.fault({ hostId, attempt }, signal, { pageGone: false, hostDropped: true });
      },
    };
  }

  popupCalls(): {
    readonly [M in "status" | "withdraw" | "closeSession"]: (
      params: PopupCalls[M]["params"],
    ) => Promise<PopupCalls[M]["result"]>;
  } {
    return {
      status: async (): Promise<PoolStatus> => {
        const ids = Object.keys(this.state.sessions);
        const bytes = await Promise.all(ids.map((id) => this.needs.storedBytes(id).catch(() => 0)));
        const stateBytes = new Map(ids.map((id, at) => [id, bytes[at] ?? 0]));
        return poolStatus(this.state, this.needs.history, stateBytes);
      },
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

  private originStatus(origin: string): OriginStatus {
    return originStatus(this.state, this.needs.history, this.breakers, origin);
  }

  /** What time changes: called by an alarm while sessions live. */
  inspect(): Promise<void> {
    this.spares.tend();
    this.probes.watch();
    return this.sessions.owners.inspect();
  }

  /** A host that carries no stage any more. */
  closeHost(hostId: string): Promise<void> {
    return this.hosts.close(hostId);
  }

  /** A recovery that the end of a service worker cut short. */
  resumeRecovery(sessionId: string, stage: number): void {
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
    const transaction = { action: "stage_ready", data: { sessionId, stage, provider, weightBytes } } as const;
    // A full disk keeps no stage from working: it is written with the next transaction, and a pool that ends before that
    // finds a host that was starting, which it starts anew.
    await note(this.needs, transaction);
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

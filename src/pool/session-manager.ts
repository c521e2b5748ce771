import { type Deferred, deferred } from "../base/deferred.ts";
import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import { HOSTS_MAX, OPEN_STALL_MS, TIMER_LATE_MS } from "../base/limits.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { PoolCalls, SessionInfo } from "../protocol/pool.ts";
import { parseSessionOptions } from "../protocol/session-options.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import { forgetStored } from "./forget.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { Owners, type Refuse } from "./owners.ts";
import { Parking } from "./parking.ts";
import { planningInput } from "./planning.ts";
import type { RecoveryManager } from "./recovery-manager.ts";
import { checkMemory, checkRoom, hasHosts, hostCount, hostsFor } from "./room.ts";
import { knownGeneration, stageInfos } from "./status.ts";

interface Opening {
  /** Null: nobody wants to hear of its progress. */
  readonly ingestId: string | null;
  /** It was open before, and is parked again if this fails. */
  readonly isResume: boolean;
  readonly ready: Deferred<SessionInfo>;
  /** When it last came on; epoch milliseconds. */
  progressAt: number;
}

/** An open without a session yet: the user is being asked. */
interface Asking {
  readonly ingestId: string;
  readonly bridgeId: string;
  reject(error: HoldfastError): void;
}

/** Opens, hands over, parks, pauses and ends sessions. */
export class SessionManager {
  readonly owners: Owners;
  private readonly parking: Parking;
  private readonly asking = new Set<Asking>();
  /** Opens under way; they end with this service worker, and the client asks again. */
  private readonly opening = new Map<string, Opening>();

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly recovery: RecoveryManager,
    /** Empties the offscreen document, as far as that can be done. */
    private readonly emptyOffscreen: () => Promise<void>,
  ) {
    this.parking = new Parking(needs, this);
    this.owners = new Owners(needs, this.parking);
  }

  /** Resolves when every stage is ready. `consent` throws when the origin may not open sessions, which may take its time. */
  async open(
    { bridgeId, origin, model, options: asked, ingestId }: PoolCalls["openSession"]["params"],
    consent: () => Promise<void>,
  ): Promise<SessionInfo> {
    const { needs } = this;
    await this.unlessAborted({ bridgeId, ingestId }, consent());
    const options = parseSessionOptions(asked);
    await this.unlessAborted({ bridgeId, ingestId }, this.makeRoom({ sessionId: null, origin, options }));
    const session: SessionRecord = {
      sessionId: needs.newId(),
      secret: needs.newId(),
      origin,
      model: model.slice(0, 500),
      options,
      status: "opening",
      bridgeId,
      openId: ingestId,
      ownerLostAt: null,
      planId: null,
      plan: null,
      stages: [],
      gpuLosses: 0,
      durableRun: -1,
      promptIds: [],
      ids: [],
      changedAt: needs.now(),
    };
    const { sessionId } = session;
    void needs.journal.append({ action: "open_session", data: session });
    this.owners.watch();
    const ready = this.beginOpening(sessionId, ingestId, false);
    this.watchOpening(sessionId, OPEN_STALL_MS);
    try {
      const hostId = await this.hosts.open(session, 0, 0);
      this.hosts.whenReached(hostId, () => {
        const planning = planningInput(needs.history, session);
        needs.toHost(hostId, "ingest", { hostId, attempt: 0, sessionId, origin, options, model, planning });
        needs.toBridge(bridgeId, "ingestAt", { ingestId, sessionId, hostId });
      });
      // The other hosts start while the model comes in. More than can ever be: one is enough to plan and to say so.
      const others = Array.from({ length: hostsFor(options) - 1 }, (_, index) =>
        this.hosts.open(session, index + 1, 0),
      );
      await Promise.all(others);
    } catch (error) {
      this.failOpen(sessionId, HoldfastError.from(toErrorData(error)));
    }
    return ready;
  }

  /** Throws as `checkRoom` does. Who would be put at risk by sessions in the offscreen document has them moved to tabs first. */
  private async makeRoom(session: Parameters<typeof checkRoom>[1]): Promise<void> {
    try {
      checkRoom(this.needs.journal.state, session);
    } catch (error) {
      if (session.options.place === "offscreen" || HoldfastError.from(toErrorData(error)).code !== "PLACE_IN_USE")
        throw error;
      await this.emptyOffscreen();
      checkRoom(this.needs.journal.state, session);
    }
  }

  private beginOpening(sessionId: string, ingestId: string | null, isResume: boolean): Promise<SessionInfo> {
    const ready = deferred<SessionInfo>();
    this.opening.set(sessionId, { ingestId, isResume, progressAt: this.needs.now(), ready });
    return ready.promise;
  }

  private async unlessAborted(open: Omit<Asking, "reject">, consent: Promise<void>): Promise<void> {
    const asking: Asking = { ...open, reject: () => undefined };
    const aborted = new Promise<never>((_, reject) => {
      asking.reject = reject;
    });
    this.asking.add(asking);
    try {
      await Promise.race([consent, aborted]);
    } finally {
      this.asking.delete(asking);
    }
  }

  async planned(sessionId: string, planId: string, plan: PlanSummary): Promise<void> {
    // A full disk keeps nobody waiting for a session: an opening ends with this service worker anyway.
    await note(this.needs, { action: "plan_session", data: { sessionId, planId, plan } });
    const session = this.session(sessionId);
    if (session === undefined) return;
    if (plan.shards.length > HOSTS_MAX) {
      this.failOpen(
        sessionId,
        new HoldfastError(
          "TOO_MANY_HOSTS",
          `${plan.shards.length} shards need ${plan.shards.length} hosts; at most ${HOSTS_MAX} run at once. Ask for fewer shards.`,
        ),
      );
      return;
    }
    for (const index of plan.shards.keys()) this.hosts.loadIfBooted(session, index);
    await this.openReplicas(session);
  }

  /** The other hosts of each stage: how many there are is known now. */
  private async openReplicas(session: SessionRecord): Promise<void> {
    try {
      checkMemory(session, this.needs.history.reports);
      // In order: the journal gives each the next number.
      for (let host = session.stages.length; host < hostCount(session); host++) await this.hosts.open(session, host, 0);
    } catch (error) {
      this.failOpen(session.sessionId, HoldfastError.from(toErrorData(error)));
    }
  }

  stageReady(session: SessionRecord): void {
    const opening = this.opening.get(session.sessionId);
    if (opening === undefined || session.plan === null || session.stages.length !== hostCount(session)) return;
    if (session.stages.some(({ phase }) => phase !== "ready")) return;
    this.opening.delete(session.sessionId);
    const live = this.update(session.sessionId, "live").catch(() => undefined);
    void live.then(() => opening.ready.resolve(this.info(session.sessionId)));
    this.refreshPopup();
  }

  progress(sessionId: string, event: SessionEvent): void {
    const session = this.session(sessionId);
    const opening = this.opening.get(sessionId);
    if (session === undefined || opening === undefined) return;
    opening.progressAt = this.needs.now();
    if (opening.ingestId === null) return;
    this.needs.toBridge(session.bridgeId, "progress", { ingestId: opening.ingestId, event });
  }

  /** A page that stops sending its model would hold its hosts for as long as it lives. */
  private watchOpening(sessionId: string, ms: number): void {
    const due = this.needs.now() + ms;
    this.needs.after(ms, () => {
      const opening = this.opening.get(sessionId);
      // A resume has nothing to wait for but hosts, which have deadlines of their own.
      if (opening === undefined || opening.isResume) return;
      const now = this.needs.now();
      // The machine slept: the page could send nothing.
      if (now - due > TIMER_LATE_MS) opening.progressAt = now;
      // Nor does it wait longer because somebody set the clock back.
      const left = Math.min(OPEN_STALL_MS, opening.progressAt + OPEN_STALL_MS - now);
      if (left > 0) return this.watchOpening(sessionId, left);
      const seconds = OPEN_STALL_MS / 1000;
      const message = `Nothing of the model came for ${seconds} seconds while the session opened. Open it again.`;
      this.failOpen(sessionId, new HoldfastError("MODEL_FETCH_STALLED", message));
    });
  }

  /** A host said that this model or provider cannot work: trying again would not help. */
  stageRefused(session: SessionRecord, error: ErrorData): void {
    if (this.opening.has(session.sessionId)) this.failOpen(session.sessionId, HoldfastError.from(error));
    else void this.end(session, HoldfastError.from(error));
  }

  /** Its recovery has no step left. */
  gaveUp(session: SessionRecord, error: HoldfastError): void {
    if (this.opening.get(session.sessionId)?.isResume) this.failOpen(session.sessionId, error);
    else void this.end(session, error);
  }

  failOpen(sessionId: string, error: HoldfastError): void {
    const opening = this.opening.get(sessionId);
    if (opening === undefined) return;
    this.opening.delete(sessionId);
    const session = this.session(sessionId);
    // What was stored before is not lost with an attempt to take it up.
    const end = opening.isResume && session !== undefined ? this.park(session) : this.remove(sessionId);
    const reject = (): void => opening.ready.reject(error);
    end.then(reject, reject);
  }

  async abortOpen(ingestId: string): Promise<null> {
    const error = new HoldfastError("ABORTED", "The session was aborted while it opened.");
    for (const asking of this.asking) if (asking.ingestId === ingestId) asking.reject(error);
    for (const [sessionId, opening] of this.opening) if (opening.ingestId === ingestId) this.failOpen(sessionId, error);
    // Opened, but the answer went with a service worker: nobody knows of it.
    const orphan = Object.values(this.needs.journal.state.sessions).find(
      ({ openId, status }) => openId === ingestId && status === "live",
    );
    if (orphan !== undefined) await this.remove(orphan.sessionId);
    return null;
  }

  /** The page that opened the session goes on with it, over whichever bridge. */
  async attach(params: PoolCalls["attachSession"]["params"], refuse: Refuse): Promise<SessionInfo> {
    await this.owners.claim(params, refuse);
    return this.hosted(params.sessionId, null);
  }

  /** Another page of its origin takes the session up. */
  async resume(
    { ingestId, ...params }: PoolCalls["resumeSession"]["params"],
    refuse: Refuse,
  ): Promise<PoolCalls["resumeSession"]["result"]> {
    await this.owners.claim({ ...params, secret: null }, refuse);
    const info = await this.hosted(params.sessionId, ingestId);
    const { durableRun = -1 } = this.session(params.sessionId) ?? {};
    return { ...info, durableRun, generation: knownGeneration(this.session(params.sessionId)) };
  }

  /** With hosts again, if it was parked. `openId`: whom to tell of the progress. */
  private async hosted(sessionId: string, openId: string | null): Promise<SessionInfo> {
    const session = this.session(sessionId);
    if (session?.status !== "resuming") return this.info(sessionId);
    const under = this.opening.get(sessionId);
    if (under !== undefined) return under.ready.promise;
    const ready = this.beginOpening(sessionId, openId, true);
    this.owners.watch();
    try {
      await this.makeRoom(session);
      await this.needs.checkModel(session.planId ?? "");
      const now = this.session(sessionId);
      if (now?.status === "resuming")
        await Promise.all(
          Array.from({ length: hostCount(now) }, (_, stage) =>
            this.hosts.open(now, stage, (now.stages[stage]?.attempt ?? -1) + 1),
          ),
        );
    } catch (error) {
      this.failOpen(sessionId, HoldfastError.from(toErrorData(error)));
    }
    return ready;
  }

  /** Its driver has made all durable and has no use for hosts. */
  async parkIdle(bridgeId: string, sessionId: string): Promise<null> {
    const session = this.session(sessionId);
    if (session?.bridgeId === bridgeId && session.status === "live") await this.park(session);
    return null;
  }

  async release(bridgeId: string, sessionId: string): Promise<null> {
    const session = this.session(sessionId);
    if (session !== undefined && session.bridgeId === bridgeId) await this.remove(sessionId);
    return null;
  }

  /** The user or a withdrawal ends a session; its page hears why. */
  async end(session: SessionRecord, error: HoldfastError): Promise<void> {
    this.failOpen(session.sessionId, error);
    this.needs.toBridge(session.bridgeId, "session", {
      sessionId: session.sessionId,
      event: { type: "failed", error: toErrorData(error) },
    });
    await this.remove(session.sessionId);
  }

  async pause(session: SessionRecord): Promise<void> {
    const error = new HoldfastError(
      "SESSION_PAUSED",
      "The user closed two host tabs within a minute, which pauses the session. Create a new session when the user asks for it.",
    );
    this.needs.toBridge(session.bridgeId, "session", {
      sessionId: session.sessionId,
      event: { type: "failed", error: toErrorData(error) },
    });
    await this.parking.keep(session, "paused");
  }

  async park(session: SessionRecord): Promise<void> {
    this.recovery.forget(session.sessionId);
    await this.parking.keep(session, "parked");
  }

  /** A bridge's port broke: what its page was opening is given up, what it owns waits for it. */
  async bridgeLost(bridgeId: string): Promise<void> {
    const error = new HoldfastError("ABORTED", "The page went away while the session opened.");
    for (const asking of this.asking) if (asking.bridgeId === bridgeId) asking.reject(error);
    for (const session of Object.values(this.needs.journal.state.sessions))
      if (session.bridgeId === bridgeId && this.opening.has(session.sessionId)) this.failOpen(session.sessionId, error);
    await this.owners.bridgeLost(bridgeId);
  }

  async remove(sessionId: string): Promise<void> {
    this.recovery.forget(sessionId);
    // From here on no recovery opens a host for it.
    void this.update(sessionId, "closing").catch(() => undefined);
    await this.closeHosts(sessionId);
    await note(this.needs, { action: "remove_session", data: { sessionId } });
    await forgetStored(this.needs, sessionId);
    this.refreshPopup();
  }

  private info(sessionId: string): SessionInfo {
    const session = this.session(sessionId);
    if (session?.plan == null)
      throw new HoldfastError("SESSION_UNKNOWN", "There is no such session any more; create a new one.");
    const { secret, plan, options } = session;
    return { sessionId, secret, plan, options, stages: stageInfos(this.needs.journal.state, session) };
  }

  private session(sessionId: string): SessionRecord | undefined {
    return this.needs.journal.state.sessions[sessionId];
  }

  private update(sessionId: string, status: SessionRecord["status"]): Promise<void> {
    return this.needs.journal.append({ action: "update_session", data: { sessionId, at: this.needs.now(), status } });
  }

  async closeHosts(sessionId: string): Promise<void> {
    const hosts = Object.values(this.needs.journal.state.hosts).filter((host) => host.sessionId === sessionId);
    await Promise.all(hosts.map((host) => this.hosts.close(host.hostId)));
  }

  /** No action popup while a session above level none lives: an open one makes faults fatal to the extension. */
  refreshPopup(): void {
    const atRisk = Object.values(this.needs.journal.state.sessions).some(
      ({ status, options }) => hasHosts(status) && options.faultToleranceLevel !== "none",
    );
    this.needs.setPopupAllowed(!atRisk);
  }
}

import { type ErrorCode, type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import {
  HOSTS_MAX,
  OPEN_STALL_MS,
  OWNER_CHECK_MS,
  PAGE_GRACE_MS,
  PARKED_KEPT_MS,
  SESSIONS_PER_ORIGIN_MAX,
} from "../base/limits.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { SessionOptions } from "../protocol/options.ts";
import type { PoolCalls, SessionInfo } from "../protocol/pool.ts";
import { parseSessionOptions } from "../protocol/session-options.ts";
import type { PlanSummary } from "../shard/summary.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import type { RecoveryManager } from "./recovery-manager.ts";
import { stageInfos } from "./status.ts";

interface Opening {
  readonly ingestId: string;
  /** When it last came on; epoch milliseconds. */
  progressAt: number;
  resolve(info: SessionInfo): void;
  reject(error: HoldfastError): void;
}

/** Opens, hands over, parks, pauses and ends sessions. */
export class SessionManager {
  /** Opens under way; they end with this service worker, and the client asks again. */
  private readonly opening = new Map<string, Opening>();

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly recovery: RecoveryManager,
  ) {}

  async open({
    bridgeId,
    origin,
    model,
    options: asked,
    ingestId,
  }: PoolCalls["openSession"]["params"]): Promise<SessionInfo> {
    const { needs } = this;
    const options = parseSessionOptions(asked);
    this.checkRoom(origin, options);
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
    this.watchOwners();
    const ready = new Promise<SessionInfo>((resolve, reject) =>
      this.opening.set(sessionId, { ingestId, progressAt: needs.now(), resolve, reject }),
    );
    // It may be aborted while its hosts open, before anybody waits for it.
    ready.catch(() => undefined);
    this.watchOpening(sessionId, OPEN_STALL_MS);
    try {
      const hostId = await this.hosts.open(session, 0, 0);
      this.hosts.whenReached(hostId, () => {
        needs.toHost(hostId, "ingest", { hostId, attempt: 0, sessionId, origin, options, model });
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

  async planned(sessionId: string, planId: string, plan: PlanSummary): Promise<void> {
    await this.needs.journal.append({ action: "plan_session", data: { sessionId, planId, plan } });
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
  }

  stageReady(session: SessionRecord): void {
    const opening = this.opening.get(session.sessionId);
    const shards = session.plan?.shards.length;
    if (opening === undefined || session.plan === null || session.stages.length !== shards) return;
    if (session.stages.some(({ phase }) => phase !== "ready")) return;
    this.opening.delete(session.sessionId);
    void this.update(session.sessionId, { status: "live" }).then(() => opening.resolve(this.info(session.sessionId)));
    this.refreshPopup();
  }

  progress(sessionId: string, event: SessionEvent): void {
    const session = this.session(sessionId);
    const opening = this.opening.get(sessionId);
    if (session === undefined || opening === undefined) return;
    opening.progressAt = this.needs.now();
    this.needs.toBridge(session.bridgeId, "progress", { ingestId: opening.ingestId, event });
  }

  /** A page that stops sending its model would hold its hosts for as long as it lives. */
  private watchOpening(sessionId: string, ms: number): void {
    this.needs.after(ms, () => {
      const opening = this.opening.get(sessionId);
      if (opening === undefined) return;
      const left = opening.progressAt + OPEN_STALL_MS - this.needs.now();
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

  failOpen(sessionId: string, error: HoldfastError): void {
    const opening = this.opening.get(sessionId);
    if (opening === undefined) return;
    this.opening.delete(sessionId);
    void this.remove(sessionId).finally(() => opening.reject(error));
  }

  async abortOpen(ingestId: string): Promise<null> {
    for (const [sessionId, opening] of this.opening) {
      if (opening.ingestId === ingestId)
        this.failOpen(sessionId, new HoldfastError("ABORTED", "The session was aborted while it opened."));
    }
    // Opened, but the answer went with a service worker: nobody knows of it.
    const orphan = Object.values(this.needs.journal.state.sessions).find(
      ({ openId, status }) => openId === ingestId && status === "live",
    );
    if (orphan !== undefined) await this.remove(orphan.sessionId);
    return null;
  }

  async attach(
    { bridgeId, origin, sessionId, secret }: PoolCalls["attachSession"]["params"],
    refuse: (code: ErrorCode, reason: string) => Promise<HoldfastError>,
  ): Promise<SessionInfo> {
    const session = this.session(sessionId);
    // One answer for "not yours" and "not there": an id tells a stranger nothing. Both may be guesses, so both are logged.
    if (session === undefined || session.origin !== origin || session.secret !== secret)
      throw await refuse(
        "SESSION_UNKNOWN",
        "This page has no session of that id: it has ended, or it is another page's. Create one with createSession.",
      );
    if (session.status !== "live") {
      throw new HoldfastError(
        session.status === "paused" ? "SESSION_PAUSED" : "SESSION_RELEASED",
        `The session is ${session.status}; create a new one.`,
      );
    }
    if (
      session.bridgeId !== bridgeId &&
      session.ownerLostAt === null &&
      (await this.needs.liveBridges()).has(session.bridgeId)
    ) {
      throw new HoldfastError(
        "SESSION_IN_USE",
        "Another page owns this session; release it there or create a new one.",
      );
    }
    await this.update(sessionId, { bridgeId, ownerLostAt: null });
    return this.info(sessionId);
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
    await this.update(session.sessionId, { status: "paused" });
    this.needs.toBridge(session.bridgeId, "session", {
      sessionId: session.sessionId,
      event: { type: "failed", error: toErrorData(error) },
    });
    await this.closeHosts(session.sessionId);
  }

  /** A bridge's port broke. Its page has some seconds to come back. */
  async bridgeLost(bridgeId: string): Promise<void> {
    for (const session of Object.values(this.needs.journal.state.sessions)) {
      if (session.bridgeId !== bridgeId) continue;
      if (session.status === "opening")
        this.failOpen(session.sessionId, new HoldfastError("ABORTED", "The page went away while the session opened."));
      else if (session.ownerLostAt === null) await this.update(session.sessionId, { ownerLostAt: this.needs.now() });
    }
    this.watchOwners();
  }

  /** Marks owners that are gone and parks sessions whose grace is over. Called by an alarm while sessions live. */
  async inspectOwners(): Promise<void> {
    const bridges = await this.needs.liveBridges();
    const now = this.needs.now();
    for (const { sessionId } of Object.values(this.needs.journal.state.sessions)) {
      // As it is now: it may have been attached or released while another was looked after.
      const session = this.session(sessionId);
      if (session === undefined) continue;
      const waits = session.status === "parked" || session.status === "paused";
      if (waits && now - session.changedAt >= PARKED_KEPT_MS) await this.remove(session.sessionId);
      if (session.status !== "live") continue;
      if (bridges.has(session.bridgeId)) {
        if (session.ownerLostAt !== null) await this.update(session.sessionId, { ownerLostAt: null });
      } else if (session.ownerLostAt === null) await this.update(session.sessionId, { ownerLostAt: now });
      else if (now - session.ownerLostAt >= PAGE_GRACE_MS) await this.park(session.sessionId);
    }
    this.watchOwners();
  }

  async park(sessionId: string): Promise<void> {
    await this.update(sessionId, { status: "parked" });
    await this.closeHosts(sessionId);
    this.refreshPopup();
  }

  async remove(sessionId: string): Promise<void> {
    this.recovery.forget(sessionId);
    // From here on no recovery opens a host for it.
    void this.update(sessionId, { status: "closing" });
    await this.closeHosts(sessionId);
    await this.needs.journal.append({ action: "remove_session", data: { sessionId } }).catch(() => undefined);
    await this.needs.forgetCheckpoints(sessionId).catch(() => undefined);
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

  private update(
    sessionId: string,
    changes: Partial<Pick<SessionRecord, "status" | "bridgeId" | "ownerLostAt">>,
  ): Promise<void> {
    return this.needs.journal.append({
      action: "update_session",
      data: { sessionId, at: this.needs.now(), ...changes },
    });
  }

  private async closeHosts(sessionId: string): Promise<void> {
    const hosts = Object.values(this.needs.journal.state.hosts).filter((host) => host.sessionId === sessionId);
    await Promise.all(hosts.map((host) => this.hosts.close(host.hostId)));
  }

  private checkRoom(origin: string, options: SessionOptions): void {
    const { sessions } = this.needs.journal.state;
    const shards = hostsFor(options);
    const open = Object.values(sessions).filter(({ status }) => status === "live" || status === "opening");
    if (open.filter((session) => session.origin === origin).length >= SESSIONS_PER_ORIGIN_MAX) {
      throw new HoldfastError(
        "LIMIT_REACHED",
        `This site has ${SESSIONS_PER_ORIGIN_MAX} sessions open, the most it may have; release one.`,
      );
    }
    // Counted as promised, not as open: another session's hosts may be on their way.
    const used = open.reduce((sum, session) => sum + hostsFor(session.options), 0);
    if (used + shards > HOSTS_MAX) {
      throw new HoldfastError(
        "TOO_MANY_HOSTS",
        `The session needs ${shards} hosts and ${used} of ${HOSTS_MAX} are in use; release a session or ask for fewer shards.`,
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
          : "A session at level none uses the offscreen document, which would put this one at risk; release that session first.",
      );
    }
  }

  /** The next look at the owners: when the grace of one is over. Owners that live are rarely looked for: it takes a wake. */
  private watchOwners(): void {
    const live = Object.values(this.needs.journal.state.sessions).filter(
      ({ status }) => status === "live" || status === "opening",
    );
    const now = this.needs.now();
    const waits = live.map(({ ownerLostAt }) =>
      ownerLostAt === null ? OWNER_CHECK_MS : Math.max(0, ownerLostAt + PAGE_GRACE_MS - now),
    );
    if (waits.length > 0) this.needs.setAlarm("owners", Math.min(...waits));
  }

  /** No action popup while a session above level none lives: an open one makes faults fatal to the extension. */
  refreshPopup(): void {
    const atRisk = Object.values(this.needs.journal.state.sessions).some(
      ({ status, options }) => (status === "live" || status === "opening") && options.faultToleranceLevel !== "none",
    );
    this.needs.setPopupAllowed(!atRisk);
  }
}

/** Hosts that a session opens: one a shard, or just one where there are more shards than there can be hosts. */
function hostsFor({ shards }: SessionOptions): number {
  return shards === null || shards > HOSTS_MAX ? 1 : shards;
}

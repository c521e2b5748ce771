import { HoldfastError, messageOf } from "../base/errors.ts";
import { HANG_FLOOR_MS, HOST_BOOT_DEADLINE_MS, SHARD_LOAD_DEADLINE_MS, TIMER_LATE_MS } from "../base/limits.ts";
import { LEVELS } from "../fault/levels.ts";
import { type Provider, replicasOf } from "../protocol/options.ts";
import type { Lease, PoolToHost } from "../protocol/pool.ts";
import {
  type HostRecord,
  planStage,
  type SessionRecord,
  type SpareRecord,
  type StageRecord,
  type TransactionBody,
} from "../state/pool-state.ts";
import type { Breakers } from "./breakers.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { hasHosts } from "./room.ts";

/** Opens, boots, loads and closes hosts. Decides nothing: recovery and sessions tell it what to do. */
export class HostManager {
  /** Hosts that are booted and wait for a plan: the attempt that they are to load for, and the one that they were booted as. */
  private readonly booted = new Map<string, { readonly attempt: number; readonly bootedAs: number }>();
  /** What they compute with, since they were booted last. */
  private readonly providers = new Map<string, Provider>();
  /** Hosts whose page said hello since this service worker started. */
  private readonly reached = new Set<string>();
  private readonly waiting = new Map<string, (() => void)[]>();
  private readonly deadlines = new Map<string, number>();
  /** The attempts that pages say their hosts are at: a full disk may have kept a later one out of the books. */
  private readonly heard = new Map<string, number>();

  constructor(
    private readonly needs: PoolNeeds,
    private readonly breakers: Pick<Breakers, "avoided">,
    /** `pageGone`: the page itself does not answer. */
    private readonly onOverdue: (lease: Lease, signal: string, pageGone: boolean) => void,
  ) {}

  /**
   * A new host for a stage. Journalled before the page opens, so that no page is unaccounted for; with a full disk it opens
   * all the same, and a start that does not know its page closes it.
   */
  async open(session: SessionRecord, stage: number, attempt: number): Promise<string> {
    const { needs } = this;
    const { sessionId } = session;
    const status = needs.journal.state.sessions[sessionId]?.status;
    if (status === undefined || !hasHosts(status))
      throw new HoldfastError("SESSION_RELEASED", "The session ended before this host of it was opened.");
    const hostId = needs.newId();
    const place = session.options.place;
    const host: HostRecord = {
      hostId,
      place,
      browserType: needs.history.reports.ownType,
      tabId: null,
      origin: session.origin,
      sessionId,
      stage,
      status: "initialized",
      openedAt: needs.now(),
    };
    void note(needs, { action: "add_browser", data: host });
    await note(needs, { action: "add_model_to_browser", data: { sessionId, stage, hostId, attempt } });
    let tabId: number | null;
    try {
      tabId = await needs.openPage(hostId, place);
    } catch (error) {
      // No window to put a tab in, say: one more failure of this host, which the ladder deals with.
      this.onOverdue({ hostId, attempt }, `the host's tab could not be opened: ${messageOf(error)}`, false);
      return hostId;
    }
    // The session ended while the tab opened.
    if (needs.journal.state.hosts[hostId] === undefined) {
      await needs.closePage({ ...host, tabId });
      return hostId;
    }
    if (tabId !== null)
      void note(needs, { action: "update_browser_status", data: { hostId, status: "initialized", tabId } });
    // The one offscreen document said hello before this host was thought of, and will not say it again.
    const { hosts } = needs.journal.state;
    if (place === "offscreen" && [...this.reached].some((other) => hosts[other]?.place === "offscreen"))
      this.pageReached(hostId);
    this.boot(hostId, attempt);
    return hostId;
  }

  /** A fresh frame in the page the host already has. */
  restart(session: SessionRecord, stage: number, hostId: string, attempt: number): void {
    const { sessionId } = session;
    void note(this.needs, { action: "add_model_to_browser", data: { sessionId, stage, hostId, attempt } });
    this.boot(hostId, attempt);
  }

  /** The host as it stands, if it answers; nothing that it holds is lost. */
  reconnect(session: SessionRecord, stage: number, { hostId, attempt, bootedAs }: Lease & { bootedAs: number }): void {
    const { sessionId } = session;
    void note(this.needs, { action: "add_model_to_browser", data: { sessionId, stage, hostId, attempt } });
    this.load(session, stage, { hostId, attempt, bootedAs, standby: false });
    this.watch(hostId, attempt, HANG_FLOOR_MS, "no sign of life from the host after it was reconnected");
  }

  /** Gives a stage a host whose runtime is loaded already: a spare's. */
  adopt(session: SessionRecord, stage: number, spare: SpareRecord, attempt: number): void {
    this.assign(session, stage, spare, attempt);
    this.loadIfBooted(this.needs.journal.state.sessions[session.sessionId] ?? session, stage);
  }

  /** As `adopt`, before it loads. */
  assign(session: SessionRecord, stage: number, spare: SpareRecord, attempt: number): void {
    const { now } = this.needs;
    const { sessionId, origin } = session;
    const { hostId, tabId, browserType } = spare;
    const host = { hostId, place: "tab", browserType, tabId, origin, sessionId, stage, openedAt: now() } as const;
    const taken: readonly TransactionBody[] = [
      { action: "add_browser", data: { ...host, status: "initialized" } },
      { action: "add_model_to_browser", data: { sessionId, stage, hostId, attempt } },
    ];
    for (const body of taken) void note(this.needs, body);
    this.booted.set(hostId, { attempt, bootedAs: spare.attempt });
    this.providers.set(hostId, spare.provider);
  }

  /** The page is there and listens. */
  pageReached(hostId: string): void {
    this.reached.add(hostId);
    const waiting = this.waiting.get(hostId) ?? [];
    this.waiting.delete(hostId);
    for (const action of waiting) action();
  }

  /** True: the host is ahead of the books, and would take an order of the attempt that stands there for an old one. */
  hostSays({ hostId, attempt }: Lease, record: StageRecord | undefined): boolean {
    this.heard.set(hostId, attempt);
    return record?.hostId === hostId && attempt > record.attempt;
  }

  nextAttempt({ hostId, attempt }: StageRecord): number {
    return Math.max(attempt, this.heard.get(hostId) ?? -1) + 1;
  }

  /** A page that is still loading hears nothing: what is meant for it waits. */
  whenReached(hostId: string, action: () => void): void {
    if (this.reached.has(hostId)) action();
    else this.waiting.set(hostId, [...(this.waiting.get(hostId) ?? []), action]);
  }

  isReached(hostId: string): boolean {
    return this.reached.has(hostId);
  }

  pageLost(hostId: string): void {
    this.reached.delete(hostId);
    this.booted.delete(hostId);
  }

  hostBooted({ hostId, attempt }: Lease, provider: Provider): void {
    this.providers.set(hostId, provider);
    this.booted.set(hostId, { attempt, bootedAs: attempt });
    this.deadlines.delete(hostId);
  }

  /** Gives a booted host its shard, once there is a plan. */
  loadIfBooted(session: SessionRecord, stage: number): void {
    const record = session.stages[stage];
    const booted = record === undefined ? undefined : this.booted.get(record.hostId);
    if (record === undefined || session.planId === null || booted?.attempt !== record.attempt) return;
    const { hostId, attempt } = record;
    this.booted.delete(hostId);
    const provider = this.providers.get(hostId);
    // What it is to load was not known when it was booted.
    if (this.breakers.avoided(session, stage).some((one) => one.provider === provider)) {
      this.restart(session, stage, hostId, this.nextAttempt(record));
      return;
    }
    this.load(session, stage, { hostId, ...booted, standby: false });
    this.watch(hostId, attempt, SHARD_LOAD_DEADLINE_MS, "the shard was not loaded before its deadline");
  }

  /** The shard of a stage, for a host that is booted. */
  load(
    session: SessionRecord,
    stage: number,
    host: Pick<PoolToHost["load"], keyof Lease | "bootedAs" | "standby">,
  ): void {
    const { sessionId, planId, origin, options } = session;
    if (planId === null) return;
    const { keepsState, votes } = LEVELS[options.faultToleranceLevel];
    // A checker keeps nothing: it starts each time from what the host that it checks has stored.
    const durable = keepsState && (votes || planStage(session, stage) === stage);
    const replicas = replicasOf(options);
    const voting = replicas > 1 ? { replicas } : {};
    this.needs.toHost(host.hostId, "load", { ...host, ...voting, origin, sessionId, stage, planId, durable });
  }

  progressed(hostId: string, attempt: number): void {
    if (this.deadlines.has(hostId))
      this.watch(hostId, attempt, SHARD_LOAD_DEADLINE_MS, "the shard was not loaded before its deadline");
  }

  /** A host that its driver cannot reach: does its page still hear and answer? */
  ask(lease: Lease): void {
    if (this.deadlines.has(lease.hostId)) return;
    this.needs.toHost(lease.hostId, "ask", lease);
    this.watch(lease.hostId, lease.attempt, HANG_FLOOR_MS, "no sign of life from the host's page", true);
  }

  settled(hostId: string): void {
    this.deadlines.delete(hostId);
  }

  async close(hostId: string): Promise<void> {
    const host = this.needs.journal.state.hosts[hostId];
    this.pageLost(hostId);
    this.forget(hostId);
    if (host === undefined) return;
    // First out of the books: the end of its tab is then nobody's fault. A page left over by a crash here has no
    // record, and the next start closes it.
    await note(this.needs, { action: "remove_browser", data: { hostId } });
    this.needs.toHost(hostId, "close", { hostId });
    await this.needs.closePage(host);
    const left = Object.values(this.needs.journal.state.hosts).some((other) => other.place === "offscreen");
    if (host.place === "offscreen" && !left) await this.needs.closeOffscreen();
  }

  /** Null: it was not booted since this service worker started. */
  providerOf(hostId: string): Provider | null {
    return this.providers.get(hostId) ?? null;
  }

  /** Forgets what was known of a host that is none any more. */
  forget(hostId: string): void {
    this.providers.delete(hostId);
    this.booted.delete(hostId);
    this.deadlines.delete(hostId);
    this.waiting.delete(hostId);
    this.heard.delete(hostId);
  }

  private boot(hostId: string, attempt: number): void {
    this.booted.delete(hostId);
    const state = this.needs.journal.state;
    const host = state.hosts[hostId];
    const session = host === undefined ? undefined : state.sessions[host.sessionId];
    if (host === undefined || session === undefined) return;
    const boot = (): void =>
      this.needs.toHost(hostId, "boot", {
        hostId,
        attempt,
        origin: session.origin,
        providers: session.options.executionProviders,
        gpuLosses: session.gpuLosses,
        avoid: this.breakers.avoided(session, host.stage),
        // Neither while others start beside it more than need be, nor while somebody waits for a recovery.
        measure: attempt === 0 && host.stage === 0 ? this.needs.history.reports.unmeasured(this.needs.now()) : [],
      });
    this.whenReached(hostId, boot);
    this.watch(hostId, attempt, HOST_BOOT_DEADLINE_MS, "the host did not start before its deadline");
  }

  /** One deadline a host; each new one replaces the last. */
  private watch(hostId: string, attempt: number, ms: number, signal: string, pageGone = false): void {
    const until = this.needs.now() + ms;
    this.deadlines.set(hostId, until);
    this.needs.after(ms, () => {
      if (this.deadlines.get(hostId) !== until) return;
      // Nobody ran meanwhile, the host neither: the machine slept.
      if (this.needs.now() - until > TIMER_LATE_MS) return this.watch(hostId, attempt, ms, signal, pageGone);
      this.deadlines.delete(hostId);
      this.onOverdue({ hostId, attempt }, signal, pageGone);
    });
  }
}

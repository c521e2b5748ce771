import { HoldfastError, messageOf } from "../base/errors.ts";
import { FAILURE_CHARS_MAX, GPU_LOSSES_MAX, RECOVERY_ATTEMPTS_MAX, RECOVERY_BACKOFF_MS } from "../base/limits.ts";
import { classify } from "../fault/classify.ts";
import { decideRecovery, type Recovery, type RecoveryEvent } from "../fault/decide-recovery.ts";
import type { RecoveryStep } from "../fault/levels.ts";
import type { SessionEvent, StageInfo } from "../protocol/events.ts";
import type { FailedHost } from "../protocol/origin.ts";
import type { Lease } from "../protocol/pool.ts";
import type { HostRecord, SessionRecord, StageRecord } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { hasHosts } from "./room.ts";
import type { Spares } from "./spares.ts";

/** Begins the signal of a fault that a page reported. */
export const PAGE_SAYS = "the page says";

/** Detect → classify → select → execute → verify → fall back, one recovery at a time per stage. */
export class RecoveryManager {
  private readonly recoveries = new Map<string, Recovery>();

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly spares: Spares,
    private readonly events: {
      tell(session: SessionRecord, event: SessionEvent): void;
      /** Nothing that may be tried is left: the session ends. */
      gaveUp(session: SessionRecord, error: HoldfastError): void;
    },
  ) {}

  /** A host was seen to fail. Reports of an earlier attempt change nothing. */
  fault({ hostId, attempt }: Lease, signal: string, seen: { pageGone: boolean; hostDropped: boolean }): void {
    const found = this.stageOf(hostId, attempt);
    if (found === null) return;
    const { session, stage } = found;
    if (session.stages[stage]?.phase === "lost") return;
    const category = classify(signal);
    const at = this.needs.now();
    void note(this.needs, {
      action: "stage_fault",
      data: { sessionId: session.sessionId, stage, hostId, category, signal, at, recoveredMs: null },
    });
    if (category === "WEBGPU" && session.stages[stage]?.provider === "webgpu") this.countGpuLoss(session);
    this.hosts.settled(hostId);
    this.events.tell(session, { type: "fault", at, stage, hostId, attempt, category, signal });
    this.step(session.sessionId, stage, { type: "fault", fault: { category, signal, ...seen }, now: at });
  }

  /**
   * A driver was told so of a stage, once: where the books do not say it any more, the disk has lost what was noted last, and
   * neither hears the other. The stage begins anew, as an attempt that is later than both.
   */
  known(sessionId: string, { stage, hostId, attempt, phase }: StageInfo): void {
    const record = this.needs.journal.state.sessions[sessionId]?.stages[stage];
    if (record === undefined || attempt < record.attempt) return;
    const isSame = attempt === record.attempt && hostId === record.hostId;
    if (isSame && (phase !== "lost" || record.phase === "lost")) return;
    this.hosts.hostSays({ hostId: record.hostId, attempt }, record);
    this.fault(record, "what became of the host while the pool was away is in no books", {
      pageGone: false,
      hostDropped: true,
    });
  }

  /** A page found a host of its site to have failed. One that is on its way back already is left to it. */
  reported({ origin, hostId, signal }: { origin: string; hostId: string; signal: string }): FailedHost {
    const { hosts, sessions } = this.needs.journal.state;
    const host = Object.hasOwn(hosts, hostId) ? hosts[hostId] : undefined;
    const record = host === undefined ? undefined : sessions[host.sessionId]?.stages[host.stage];
    // Another site's host is as unknown as one that there never was.
    if (host?.origin !== origin || record?.hostId !== hostId)
      throw new HoldfastError("BAD_OPTIONS", "This site has no such host; it may have been replaced already.");
    const { attempt, phase } = record;
    // The page chose the words: they classify the fault, and can be mistaken for nothing that the browser told.
    const told = `${PAGE_SAYS}: ${signal.slice(0, FAILURE_CHARS_MAX)}`;
    if (phase === "ready") this.fault({ hostId, attempt }, told, { pageGone: false, hostDropped: false });
    // Whoever waits, waits for a later attempt; one that is starting is that later attempt already.
    return { sessionId: host.sessionId, stage: host.stage, attempt: phase === "starting" ? attempt - 1 : attempt };
  }

  /** Takes up a recovery that another service worker left unfinished. */
  resume(sessionId: string, stage: number): void {
    const record = this.needs.journal.state.sessions[sessionId]?.stages[stage];
    if (record === undefined || this.recoveries.has(`${sessionId} ${stage}`)) return;
    const host = this.needs.journal.state.hosts[record.hostId];
    const lease = { hostId: record.hostId, attempt: record.attempt };
    if (record.phase === "starting")
      this.fault(lease, "no sign of life since the pool restarted", {
        pageGone: host === undefined,
        hostDropped: true,
      });
    else
      this.step(sessionId, stage, {
        type: "fault",
        fault: {
          category: "CRASH",
          signal: "recovery was cut short",
          pageGone: host === undefined,
          hostDropped: true,
        },
        now: this.needs.now(),
      });
  }

  ready(sessionId: string, stage: number): void {
    this.step(sessionId, stage, { type: "ready" });
  }

  verified(sessionId: string, stage: number): void {
    this.step(sessionId, stage, { type: "verified" });
  }

  forget(sessionId: string): void {
    for (const key of this.recoveries.keys()) if (key.startsWith(`${sessionId} `)) this.recoveries.delete(key);
  }

  stageOf(hostId: string, attempt: number): { session: SessionRecord; stage: number } | null {
    const state = this.needs.journal.state;
    const host = state.hosts[hostId];
    const session = host === undefined ? undefined : state.sessions[host.sessionId];
    const record = host === undefined ? undefined : session?.stages[host.stage];
    if (host === undefined || session === undefined || record?.hostId !== hostId || record.attempt !== attempt)
      return null;
    return { session, stage: host.stage };
  }

  private step(sessionId: string, stage: number, event: RecoveryEvent): void {
    const session = this.needs.journal.state.sessions[sessionId];
    if (session === undefined) return;
    const key = `${sessionId} ${stage}`;
    const [next, commands] = decideRecovery(this.recoveries.get(key) ?? { phase: "healthy" }, event, {
      level: session.options.faultToleranceLevel,
      strategy: session.options.recoveryStrategy,
      // A session that an older version of the extension has parked names none.
      attemptsMax: session.options.maxRecoveryAttempts ?? RECOVERY_ATTEMPTS_MAX,
      backoffMs: RECOVERY_BACKOFF_MS,
    });
    this.recoveries.set(key, next);
    for (const command of commands) {
      if (command.type === "give_up") this.giveUp(session, stage, command.fault.signal);
      else this.needs.after(command.delayMs, () => void this.tryStep(sessionId, stage, command.step));
    }
  }

  /** A step that the browser does not let us take (no window for a tab, no list of pages) is one more failure. */
  private async tryStep(sessionId: string, stage: number, step: RecoveryStep): Promise<void> {
    try {
      await this.climb(sessionId, stage, step);
    } catch (error) {
      if (this.recoverable(sessionId)?.stages[stage]?.phase !== "lost") return;
      const fault = { category: "UNKNOWN", signal: messageOf(error), pageGone: true, hostDropped: true } as const;
      this.step(sessionId, stage, { type: "fault", fault, now: this.needs.now() });
    }
  }

  private async climb(sessionId: string, stage: number, step: RecoveryStep): Promise<void> {
    const session = this.recoverable(sessionId);
    const record = session?.stages[stage];
    if (session === null || record === undefined || record.phase !== "lost") return;
    const host = this.needs.journal.state.hosts[record.hostId];
    if (step !== "reconnect" && this.spares.take(session, stage, this.lostDevice(sessionId, stage))) {
      const taken = this.recoverable(sessionId)?.stages[stage];
      const attempt = taken?.attempt ?? record.attempt;
      this.events.tell(session, { type: "recovering", stage, step, attempt });
      return this.makeSpare(host, record, step, attempt);
    }
    const attempt = this.hosts.nextAttempt(record);
    this.events.tell(session, { type: "recovering", stage, step, attempt });
    if (step !== "failover" && host !== undefined) {
      const [pages, tabs] = await Promise.all([this.needs.livePages(), this.needs.hostTabs()]);
      // In a frozen tab nothing starts; that it froze may have been told while its stage was lost already.
      const frozen = tabs.some((tab) => tab.hostId === host.hostId && tab.frozen);
      const alive = host.tabId === null ? pages.offscreen : pages.hostIds.has(host.hostId);
      // A page whose process died keeps its tab: reloading brings it back, and its hello lets the boot go on.
      if (!alive) this.hosts.pageLost(host.hostId);
      if (!frozen && (alive || (host.tabId !== null && (await this.needs.reloadPage(host.tabId))))) {
        this.hosts.restart(session, stage, host.hostId, attempt);
        return;
      }
    }
    // It may have been paused or released meanwhile; a host opened now would be closed by nobody.
    if (this.recoverable(sessionId) === null) return;
    await this.hosts.open(session, stage, attempt);
    await this.hosts.close(record.hostId);
  }

  /** What the spare has replaced becomes the next one, unless its page is not to be trusted any more. */
  private async makeSpare(
    host: HostRecord | undefined,
    { provider }: StageRecord,
    step: RecoveryStep,
    attempt: number,
  ): Promise<void> {
    if (host === undefined) return;
    const pages = await this.needs.livePages();
    if (step === "failover" || host.place !== "tab" || provider === null || !pages.hostIds.has(host.hostId))
      await this.hosts.close(host.hostId);
    else this.spares.recycle(host, provider, attempt);
  }

  private lostDevice(sessionId: string, stage: number): boolean {
    const recovery = this.recoveries.get(`${sessionId} ${stage}`);
    return recovery !== undefined && "fault" in recovery && recovery.fault.category === "WEBGPU";
  }

  private recoverable(sessionId: string): SessionRecord | null {
    const session = this.needs.journal.state.sessions[sessionId];
    return session !== undefined && hasHosts(session.status) ? session : null;
  }

  private countGpuLoss(session: SessionRecord): void {
    // One dead GPU process is reported by every stage that used it; losses close together are one.
    const recent = this.needs.journal.state.faults.filter(
      (fault) =>
        fault.sessionId === session.sessionId && fault.category === "WEBGPU" && this.needs.now() - fault.at < 2_000,
    );
    if (recent.length > 1) return;
    const gpuLosses = Math.min(session.gpuLosses + 1, GPU_LOSSES_MAX + 1);
    void note(this.needs, {
      action: "update_session",
      data: { sessionId: session.sessionId, gpuLosses, at: this.needs.now() },
    });
  }

  private giveUp(session: SessionRecord, stage: number, signal: string): void {
    const error = new HoldfastError(
      "RECOVERY_FAILED",
      `Stage ${stage} failed ${(session.options.maxRecoveryAttempts ?? RECOVERY_ATTEMPTS_MAX) + 1} times in a row (${signal}). Release the session and open it again with another provider, more shards or a smaller input.`,
      { category: classify(signal) },
    );
    this.events.gaveUp(session, error);
  }
}

import type { Rung } from "../fault/ladder.ts";
import type { RecoveryStep } from "../fault/levels.ts";
import type { HostRecord, SessionRecord, StageRecord } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { hasHosts } from "./room.ts";
import type { Spares } from "./spares.ts";

export interface Climb {
  readonly sessionId: string;
  readonly stage: number;
  readonly steps: Rung;
  /** Rungs climbed before this one. */
  readonly before: number;
  readonly lostDevice: boolean;
  /** Told before the steps are taken. */
  begun(steps: Rung, attempt: number): void;
  /** Another host races with the one that is to come back. */
  races(): void;
}

/** Takes the steps that were decided on: brings a lost stage a host again. */
export class RecoverySteps {
  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly spares: Spares,
  ) {}

  async climb({ sessionId, stage, steps, before, lostDevice, begun, races }: Climb): Promise<void> {
    const session = this.recoverable(sessionId);
    const record = session?.stages[stage];
    if (session === null || record === undefined || record.phase !== "lost") return;
    const host = this.needs.journal.state.hosts[record.hostId];
    const isRace = steps.length > 1;
    // A race with a standby that holds the shard is over before it begins; one with a spare is still to be run.
    const mayTake = isRace ? "standby" : steps.includes("reconnect") ? null : "any";
    if (mayTake !== null && this.spares.take(session, stage, lostDevice, mayTake)) {
      const attempt = this.recoverable(sessionId)?.stages[stage]?.attempt ?? record.attempt;
      begun(steps, attempt);
      return this.makeSpare(host, record, steps, attempt);
    }
    const attempt = this.hosts.nextAttempt(record);
    const hasRival = isRace && this.spares.race(session, stage, lostDevice);
    // Where there is no room for another host, the steps are taken one after the other.
    const step = steps[isRace && !hasRival ? before % steps.length : 0];
    if (step === undefined) return;
    begun(hasRival ? steps : [step], attempt);
    if (hasRival) races();
    if (step !== "failover" && host !== undefined && (await this.bringBack(session, stage, host, step, attempt)))
      return;
    // It may have been paused or released meanwhile; a host opened now would be closed by nobody.
    if (hasRival || this.recoverable(sessionId) === null) return;
    await this.hosts.open(session, stage, attempt);
    await this.hosts.close(record.hostId);
  }

  /** Who raced for the stage holds its shard first: the other one is undone. False: it cannot have it. */
  async won(sessionId: string, stage: number): Promise<boolean> {
    const session = this.recoverable(sessionId);
    const record = session?.stages[stage];
    if (session === null || record === undefined || record.phase === "ready") return false;
    if (this.spares.standbyOf(session, stage) === undefined) return false;
    // Out of the books first: a stage is never given out while another has it.
    const isClosed = this.hosts.close(record.hostId);
    this.spares.take(session, stage, false, "standby");
    await isClosed;
    return true;
  }

  recoverable(sessionId: string): SessionRecord | null {
    const session = this.needs.journal.state.sessions[sessionId];
    return session !== undefined && hasHosts(session.status) ? session : null;
  }

  /** The host in the page that it had. False: there is no such page any more. */
  private async bringBack(
    session: SessionRecord,
    stage: number,
    host: HostRecord,
    step: RecoveryStep,
    attempt: number,
  ): Promise<boolean> {
    const { hostId, tabId } = host;
    const [pages, tabs] = await Promise.all([this.needs.livePages(), this.needs.hostTabs()]);
    // In a frozen tab nothing starts; that it froze may have been told while its stage was lost already.
    const isFrozen = tabs.some((tab) => tab.hostId === hostId && tab.frozen);
    const isAlive = tabId === null ? pages.offscreen : pages.hostIds.has(hostId);
    // A page whose process died keeps its tab: reloading brings it back, and its hello lets the boot go on.
    if (!isAlive) this.hosts.pageLost(hostId);
    if (isFrozen || !(isAlive || (tabId !== null && (await this.needs.reloadPage(tabId))))) return false;
    // Meanwhile another may have won, or the session have ended.
    const now = this.recoverable(session.sessionId)?.stages[stage];
    if (now?.hostId !== hostId || now.phase !== "lost") return true;
    const isThere = isAlive && this.hosts.isReached(hostId);
    if (step === "reconnect" && isThere && session.planId !== null)
      this.hosts.reconnect(session, stage, { hostId, attempt, bootedAs: now.attempt });
    else this.hosts.restart(session, stage, hostId, attempt);
    return true;
  }

  /** What the spare has replaced becomes the next one, unless its page is not to be trusted any more. */
  private async makeSpare(
    host: HostRecord | undefined,
    { provider }: StageRecord,
    steps: Rung,
    attempt: number,
  ): Promise<void> {
    if (host === undefined) return;
    const pages = await this.needs.livePages();
    const isOver = steps.every((step) => step === "failover");
    if (isOver || host.place !== "tab" || provider === null || !pages.hostIds.has(host.hostId))
      await this.hosts.close(host.hostId);
    else this.spares.recycle(host, provider, attempt);
  }
}

import { PARKED_KEPT_MS } from "../base/limits.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import { sizeOf } from "../state/size.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import { type Kept, overQuota } from "./room.ts";

/** Sessions that are kept without hosts: parked with the loss of their page, or paused by the user. */
export class Parking {
  constructor(
    private readonly needs: PoolNeeds,
    private readonly sessions: {
      closeHosts(sessionId: string): Promise<void>;
      remove(sessionId: string): Promise<void>;
      refreshPopup(): void;
    },
  ) {}

  /** The hosts go, the stored state stays: for so long, and within the origin's quota. */
  async keep({ sessionId, origin }: SessionRecord, status: "parked" | "paused"): Promise<void> {
    const { needs } = this;
    // A full disk keeps no hosts open.
    await note(needs, { action: "update_session", data: { sessionId, status, at: needs.now() } });
    await this.sessions.closeHosts(sessionId);
    await this.tidy(origin);
    this.sessions.refreshPopup();
  }

  /** Whose time is over is forgotten. */
  async expire(): Promise<void> {
    for (const { sessionId, changedAt } of this.waiting())
      if (this.needs.now() - changedAt >= PARKED_KEPT_MS && this.isKept(sessionId))
        await this.sessions.remove(sessionId);
  }

  private isKept(sessionId: string): boolean {
    return this.waiting().some((session) => session.sessionId === sessionId);
  }

  private async tidy(origin: string): Promise<void> {
    const kept: Kept[] = [];
    for (const session of this.waiting().filter((one) => one.origin === origin)) {
      const stored = await this.needs.storedBytes(session.sessionId);
      kept.push({ ...session, bytes: stored + sizeOf(session) });
    }
    // As it is now: it may have been taken up while the bytes were counted.
    for (const sessionId of overQuota(kept)) if (this.isKept(sessionId)) await this.sessions.remove(sessionId);
  }

  private waiting(): SessionRecord[] {
    return Object.values(this.needs.journal.state.sessions).filter(
      ({ status }) => status === "parked" || status === "paused",
    );
  }
}

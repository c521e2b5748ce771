import { type ErrorCode, HoldfastError } from "../base/errors.ts";
import { GONE_LOOK_MS, GONE_LOOKS, OWNER_CHECK_MS, OWNER_LOOK_LATE_MS, PAGE_GRACE_MS } from "../base/limits.ts";
import type { Caller } from "../protocol/pool.ts";
import type { SessionRecord } from "../state/pool-state.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import type { Parking } from "./parking.ts";

export type Claim = Pick<Caller, "bridgeId" | "origin"> & {
  readonly sessionId: string;
  readonly secret: string | null;
};
export type Refuse = (code: ErrorCode, reason: string) => Promise<HoldfastError>;

/** Whose a session is: one page's, for as long as it lives; then that of the page that proves to be its successor. */
export class Owners {
  constructor(
    private readonly needs: PoolNeeds,
    private readonly parking: Parking,
  ) {}

  /**
   * Makes the caller the owner of a session, which is then live or resuming. `secret` null: a page that has only the id, of the
   * same origin; what an earlier page knows of the session is worth nothing from here on. Throws SESSION_UNKNOWN,
   * SESSION_PAUSED or SESSION_IN_USE.
   */
  async claim({ bridgeId, origin, sessionId, secret }: Claim, refuse: Refuse): Promise<void> {
    for (let looksLeft = GONE_LOOKS; ; looksLeft--) {
      const session = this.session(sessionId);
      // One answer for "not yours" and "not there": an id tells a stranger nothing. Both may be guesses, so both are logged.
      const isHis = session?.origin === origin && (secret === null || session.secret === secret);
      if (session === undefined || !isHis || session.status === "closing")
        throw await refuse(
          "SESSION_UNKNOWN",
          "This page has no session of that id: it has ended, or it is another page's. Create one with createSession.",
        );
      if (session.status === "paused" && secret !== null)
        throw new HoldfastError(
          "SESSION_PAUSED",
          "The user paused the session; take it up with resumeSession when they ask for it.",
        );
      const held = session.status === "opening" || (await this.isHeld(session, bridgeId));
      // As it is now: another page may have taken it up meanwhile. No wait between this look and the taking.
      const now = this.session(sessionId);
      if (!held && now !== undefined && now.bridgeId === session.bridgeId && now.status === session.status)
        return this.take(now, bridgeId, secret === null);
      if (looksLeft === 0)
        throw new HoldfastError(
          "SESSION_IN_USE",
          "Another page owns this session; release it there or create a new one.",
        );
      // The browser may still list a frame whose process has just died.
      if (held) await new Promise<void>((resolve) => this.needs.after(GONE_LOOK_MS, resolve));
    }
  }

  private take({ sessionId, status }: SessionRecord, bridgeId: string, anew: boolean): Promise<void> {
    const isKept = status === "parked" || status === "paused";
    return this.note(sessionId, {
      bridgeId,
      ownerLostAt: null,
      ...(anew ? { secret: this.needs.newId() } : {}),
      ...(isKept ? { status: "resuming" } : {}),
    });
  }

  private async isHeld(session: SessionRecord, bridgeId: string): Promise<boolean> {
    if (session.bridgeId === bridgeId || session.ownerLostAt !== null) return false;
    return (await this.needs.liveBridges()).has(session.bridgeId);
  }

  /** A bridge's port broke. Its page has some seconds to come back. */
  async bridgeLost(bridgeId: string): Promise<void> {
    for (const session of Object.values(this.needs.journal.state.sessions)) {
      if (session.bridgeId === bridgeId && session.status === "live" && session.ownerLostAt === null)
        await this.note(session.sessionId, { ownerLostAt: this.needs.now() });
    }
    this.watch();
  }

  /** Marks owners that are gone and parks sessions whose grace is over. Called by an alarm while sessions live. */
  async inspect(): Promise<void> {
    await this.parking.expire();
    const bridges = await this.needs.liveBridges();
    const now = this.needs.now();
    for (const { sessionId } of Object.values(this.needs.journal.state.sessions)) {
      // As it is now: it may have been attached or released while another was looked after.
      const session = this.session(sessionId);
      if (session?.status !== "live") continue;
      if (bridges.has(session.bridgeId)) {
        if (session.ownerLostAt !== null) await this.note(session.sessionId, { ownerLostAt: null });
      } else if (session.ownerLostAt === null || !isWatched(session.ownerLostAt, now))
        await this.note(session.sessionId, { ownerLostAt: now });
      else if (now - session.ownerLostAt >= PAGE_GRACE_MS) await this.parking.keep(session, "parked");
    }
    this.watch();
  }

  /** The next look at the owners: when the grace of one is over. Owners that live are rarely looked for: it takes a wake. */
  watch(): void {
    const live = Object.values(this.needs.journal.state.sessions).filter(
      ({ status }) => status === "live" || status === "opening" || status === "resuming",
    );
    const now = this.needs.now();
    const waits = live.map(({ ownerLostAt }) =>
      ownerLostAt === null ? OWNER_CHECK_MS : Math.min(PAGE_GRACE_MS, Math.max(0, ownerLostAt + PAGE_GRACE_MS - now)),
    );
    if (waits.length > 0) this.needs.setAlarm("owners", Math.min(...waits));
  }

  private session(sessionId: string): SessionRecord | undefined {
    return this.needs.journal.state.sessions[sessionId];
  }

  /** With a full disk as well: who is gone is parked, and who has come has the session, which nobody else would end. */
  private note(
    sessionId: string,
    changes: Partial<Pick<SessionRecord, "bridgeId" | "ownerLostAt" | "secret" | "status">>,
  ): Promise<void> {
    return note(this.needs, { action: "update_session", data: { sessionId, at: this.needs.now(), ...changes } });
  }
}

/**
 * Whether the time since then is time in which the page could have come back. A look that comes far too late was not
 * scheduled itself, the machine slept; and somebody may have set the clock back. Then the count begins anew.
 */
function isWatched(since: number, now: number): boolean {
  return now >= since && now - since < PAGE_GRACE_MS + OWNER_LOOK_LATE_MS;
}

import { type Deferred, deferred } from "../base/deferred.ts";
import { HoldfastError } from "../base/errors.ts";
import { MOVE_STILL_MS, SPARE_DELAY_MS, TIMER_LATE_MS } from "../base/limits.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { replicasOf } from "../protocol/options.ts";
import type { MovedHost } from "../protocol/origin.ts";
import type { Lease } from "../protocol/pool.ts";
import type { SessionRecord, TransactionBody } from "../state/pool-state.ts";
import type { HostManager } from "./host-manager.ts";
import type { PoolNeeds } from "./needs.ts";
import { note } from "./note.ts";
import type { Spares } from "./spares.ts";
import { stageInfos } from "./status.ts";

/** What a move hangs on. */
export const MOVES_HANG_ON: ReadonlySet<TransactionBody["action"]> = new Set([
  "set_spare",
  "remove_spare",
  "stage_fault",
  "stage_ready",
  "add_model_to_browser",
  "update_session",
  "remove_session",
]);

interface Move {
  readonly sessionId: string;
  readonly reason: string;
  readonly since: number;
  /** By stage: the host that carries it. */
  readonly from: ReadonlyMap<number, Lease>;
  /** By stage: the host that it goes to. Those that are missing are on their way. */
  readonly to: Map<number, string>;
  /** They load · the session is asked to stand still · the old hosts go · the stages are theirs. */
  phase: "loading" | "stopping" | "exchanging" | "switching";
  readonly end: Deferred<boolean>;
}

/**
 * Planned moves of live stages: the next host loads the shard and follows the stored state while the old one goes on; then the
 * session stands still between two runs, the old host goes, and the ports are wired to the new one. Whatever fails on the way
 * is an ordinary fault of whoever carries the stage by then. Nothing of a move is journalled: a service worker that dies
 * leaves a stage with the host that has it.
 */
export class Migrations {
  /** By session: one at a time. */
  private readonly moves = new Map<string, Move>();

  constructor(
    private readonly needs: PoolNeeds,
    private readonly hosts: HostManager,
    private readonly spares: Pick<Spares, "prepare" | "close">,
    private readonly tell: (session: SessionRecord, event: SessionEvent) => void,
  ) {}

  /** Moves stages to other hosts, in tabs. False: they are where they were, or a fault came first. */
  async move(sessionId: string, stages: readonly number[], reason: string): Promise<boolean> {
    const underway = this.moves.get(sessionId);
    if (underway !== undefined) return underway.end.promise;
    const session = this.needs.journal.state.sessions[sessionId];
    // Where several hosts do a stage's runs, one that is to go may just go.
    if (session?.status !== "live" || replicasOf(session.options) > 1) return false;
    if (session.stages.some(({ phase }) => phase !== "ready")) return false;
    const from = new Map(stages.flatMap((stage) => [[stage, session.stages[stage] as Lease]]));
    const since = this.needs.now();
    const move: Move = { sessionId, reason, since, from, to: new Map(), phase: "loading", end: deferred() };
    this.moves.set(sessionId, move);
    this.say(move, "begun");
    for (const stage of stages) {
      const hostId = await this.spares.prepare(session, stage);
      if (hostId !== null) move.to.set(stage, hostId);
      if (this.moves.get(sessionId) === move) continue;
      // It is over already.
      this.closeTargets(move);
      break;
    }
    this.look();
    return move.end.promise;
  }

  /** The site asks for it. @throws HoldfastError BAD_OPTIONS: it has no such host. */
  async asked({ origin, hostId }: { origin: string; hostId: string }): Promise<MovedHost> {
    const { hosts } = this.needs.journal.state;
    const host = Object.hasOwn(hosts, hostId) ? hosts[hostId] : undefined;
    // Another site's host is as unknown as one that there never was.
    if (host?.origin !== origin)
      throw new HoldfastError("BAD_OPTIONS", "This site has no such host; it may have been replaced already.");
    const { sessionId, stage } = host;
    const moved = await this.move(sessionId, [stage], "the site asked for it");
    return { moved, hostId: this.needs.journal.state.sessions[sessionId]?.stages[stage]?.hostId ?? hostId };
  }

  /** Everything that lives in the offscreen document goes to tabs. */
  async emptyOffscreen(): Promise<void> {
    const inside = Object.values(this.needs.journal.state.sessions).filter(
      ({ status, options }) => status === "live" && options.place === "offscreen",
    );
    const reason = "a session of a higher level opens";
    await Promise.all(inside.map(({ sessionId, stages }) => this.move(sessionId, [...stages.keys()], reason)));
  }

  /** Whether a session stands still. One that nobody waits for any more goes on with the hosts that it has. */
  still({ sessionId, is }: { sessionId: string; is: boolean }): void {
    const move = this.moves.get(sessionId);
    if (move?.phase !== "stopping") {
      if (is) this.tellStages(sessionId);
    } else if (is) void this.exchange(move);
    else this.fail(move);
  }

  /** Something has changed that moves may hang on. */
  look(): void {
    for (const move of this.moves.values()) {
      if (move.phase === "exchanging") continue;
      if (move.phase === "switching") this.lookArrived(move);
      else if (!this.isSound(move)) this.fail(move);
      else if (move.phase === "loading" && this.hasLoaded(move)) this.stop(move);
    }
  }

  /** Both ends are as they should be. */
  private isSound({ sessionId, from, to }: Move): boolean {
    const { sessions, spares } = this.needs.journal.state;
    const session = sessions[sessionId];
    return (
      session?.status === "live" &&
      [...from].every(([stage, { hostId, attempt }]) => {
        const now = session.stages[stage];
        const target = to.get(stage);
        const isThere = target === undefined || spares?.[target]?.standby?.sessionId === sessionId;
        return isThere && now?.hostId === hostId && now.attempt === attempt && now.phase === "ready";
      })
    );
  }

  private hasLoaded({ from, to }: Move): boolean {
    const { spares } = this.needs.journal.state;
    return [...from.keys()].every((stage) => spares?.[to.get(stage) ?? ""]?.standby?.loaded === true);
  }

  private stop(move: Move): void {
    move.phase = "stopping";
    const { bridgeId = "" } = this.needs.journal.state.sessions[move.sessionId] ?? {};
    this.needs.toBridge(bridgeId, "standStill", { sessionId: move.sessionId });
    // Its page may be gone, and nobody answers.
    this.needs.after(MOVE_STILL_MS + TIMER_LATE_MS, () => {
      if (move.phase === "stopping" && this.moves.get(move.sessionId) === move) this.fail(move);
    });
  }

  private async exchange(move: Move): Promise<void> {
    const { needs, hosts } = this;
    const { sessionId } = move;
    if (!this.isSound(move)) return this.fail(move);
    move.phase = "exchanging";
    const session = needs.journal.state.sessions[sessionId] as SessionRecord;
    for (const [stage, record] of session.stages.entries()) {
      const spare = needs.journal.state.spares?.[move.to.get(stage) ?? ""];
      if (spare === undefined) continue;
      // Higher than both: what either said before is fenced.
      hosts.assign(session, stage, spare, Math.max(hosts.nextAttempt(record), spare.attempt + 1));
    }
    const options = { ...session.options, place: "tab" } as const;
    if (session.options.place !== "tab" && move.from.size === session.stages.length)
      void note(needs, { action: "update_session", data: { sessionId, at: needs.now(), options } });
    this.tellStages(sessionId, move.from);
    // Before the new ones begin: nobody else writes what is stored for a stage.
    await Promise.all([...move.from.values()].map(({ hostId }) => hosts.close(hostId).catch(() => undefined)));
    for (const stage of move.from.keys()) {
      const now = needs.journal.state.sessions[sessionId];
      if (now !== undefined) hosts.loadIfBooted(now, stage);
    }
    move.phase = "switching";
    this.look();
  }

  private lookArrived(move: Move): void {
    const session = this.needs.journal.state.sessions[move.sessionId];
    const stages = [...move.to].map(([stage, hostId]) => ({ hostId, now: session?.stages[stage] }));
    if (session?.status !== "live" || stages.some(({ hostId, now }) => now?.hostId !== hostId || now.phase === "lost"))
      this.fail(move);
    else if (stages.every(({ now }) => now?.phase === "ready")) this.finish(move, true);
  }

  private fail(move: Move): void {
    const wasStopping = move.phase === "stopping";
    this.finish(move, false);
    // Where it was a fault that came first, its recovery may take them.
    this.needs.after(SPARE_DELAY_MS, () => this.closeTargets(move));
    if (wasStopping) this.tellStages(move.sessionId);
  }

  private finish(move: Move, isDone: boolean): void {
    this.moves.delete(move.sessionId);
    this.say(move, isDone ? "done" : "failed");
    move.end.resolve(isDone);
  }

  /** Unless a recovery has taken them, or a later move. */
  private closeTargets({ to }: Move): void {
    const wanted = [...this.moves.values()].flatMap((move) => [...move.to.values()]);
    for (const hostId of to.values())
      if (!wanted.includes(hostId) && this.needs.journal.state.spares?.[hostId]?.standby?.moves)
        void this.spares.close(hostId);
  }

  /** What the session's driver has to work with, so that it wires anew. */
  private tellStages(sessionId: string, only?: ReadonlyMap<number, unknown>): void {
    const session = this.needs.journal.state.sessions[sessionId];
    if (session === undefined) return;
    for (const stage of stageInfos(this.needs.journal.state, session))
      if (only === undefined || only.has(stage.stage)) this.tell(session, { type: "stage", stage });
  }

  private say({ sessionId, reason, since, from }: Move, phase: "begun" | "done" | "failed"): void {
    const session = this.needs.journal.state.sessions[sessionId];
    const ms = this.needs.now() - since;
    if (session !== undefined) this.tell(session, { type: "migration", phase, stages: [...from.keys()], reason, ms });
  }
}

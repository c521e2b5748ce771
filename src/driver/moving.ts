import { MOVE_LOOK_MS, MOVE_STILL_MS, MOVE_SWITCH_MS } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import type { Durability } from "./durability.ts";
import type { Way } from "./put-back.ts";
import { isStoredByAll } from "./replay.ts";
import type { Rest } from "./rest.ts";
import type { RunBook } from "./run-book.ts";

export interface MovingNeeds {
  readonly durability: Pick<Durability, "standing" | "points">;
  readonly rest: Pick<Rest, "change" | "changed">;
  readonly runs: Pick<RunBook, "fed">;
  /** The page feeds nothing until it gets other ports. */
  hold(): void;
  /** Closes all ports. */
  unwire(): void;
  /** Wires anew, with whatever hosts there are. */
  goOn(): void;
  readonly after: Platform["after"];
}

interface Standstill {
  /** The last run that the page has fed; null: it has not said yet. */
  fedByPage: number | null;
  isOver: boolean;
}

/**
 * Lets a session stand between two runs while hosts of it are exchanged as planned: nothing new is begun, what was begun is
 * answered, the state after it is stored, and only then the ports close. Nothing has to be done again afterwards.
 */
export class Moving {
  private current: Standstill | null = null;
  /** The state that the hosts which come are to be given; null: nobody has moved since all were put back. */
  private movedAt: number | null = null;

  constructor(private readonly needs: MovingNeeds) {}

  /** No run is to be begun. */
  get holds(): boolean {
    return this.current !== null;
  }

  /** Resolves with true once all ports are closed; false: it goes on as before. */
  async standStill(): Promise<boolean> {
    const { needs } = this;
    if (this.current !== null || !needs.durability.standing.wired) return false;
    const own: Standstill = { fedByPage: null, isOver: false };
    this.current = own;
    needs.hold();
    const stopWaiting = needs.after(MOVE_STILL_MS, () => this.giveUp());
    while (!own.isOver && !this.isStill(own)) {
      const stopLooking = needs.after(MOVE_LOOK_MS, () => needs.rest.changed());
      await needs.rest.change();
      stopLooking();
    }
    stopWaiting();
    if (own.isOver) return false;
    const { acked, hasState } = needs.durability.standing;
    this.current = null;
    this.movedAt = hasState && this.isStored(acked) ? acked : null;
    needs.unwire();
    // The pool may end before it has said what came of it.
    needs.after(MOVE_SWITCH_MS, () => {
      if (!needs.durability.standing.wired) needs.goOn();
    });
    return true;
  }

  /** Runs after this one were not fed. */
  pageHolds(run: number): void {
    if (this.current !== null) this.current.fedByPage = run;
    this.needs.rest.changed();
  }

  /** A host was lost, say: what is planned is not to be had now. True: it was under way, and all must be wired anew. */
  cancel(): boolean {
    const { current } = this;
    if (current === null) return false;
    current.isOver = true;
    this.current = null;
    this.needs.rest.changed();
    return true;
  }

  /** At levels that keep no state, this one time it is there. */
  ways(known: readonly Way[]): readonly Way[] {
    return this.movedAt === null ? known : [{ run: this.movedAt, from: "records" }, ...known];
  }

  /** All stages stand where they should. */
  wired(): void {
    this.movedAt = null;
  }

  private giveUp(): void {
    if (this.cancel()) this.needs.goOn();
  }

  private isStill({ fedByPage }: Standstill): boolean {
    const { durability, runs } = this.needs;
    const { wired, acked, hasState, links } = durability.standing;
    if (!wired || fedByPage === null || acked < Math.max(runs.fed, fedByPage)) return false;
    if (!hasState || acked < 0 || this.isStored(acked)) return true;
    // One that is still on its way there does nothing, and is asked again; each says when it has stored it.
    for (const link of links) link.store(acked, true).catch(() => undefined);
    return false;
  }

  private isStored(run: number): boolean {
    return isStoredByAll(this.needs.durability.points.stored, run);
  }
}

import type { ErrorData } from "../base/errors.ts";
import { REPLAY_MS_MAX, REPLAY_RUNS_MAX } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import type { SessionEvent } from "../protocol/events.ts";
import { DurablePoint } from "./durable-point.ts";
import { Overdue } from "./overdue.ts";
import { everyRuns } from "./pace.ts";
import type { Way } from "./put-back.ts";
import type { RunBook } from "./run-book.ts";
import { RunCosts } from "./run-costs.ts";
import { SafePoints } from "./safe-points.ts";
import type { TokenJournal } from "./token-journal.ts";
import type { StageLink } from "./wiring.ts";

/** A session as its driver knows it now. */
export interface Standing {
  readonly wired: boolean;
  readonly isEnded: boolean;
  /** The last run whose answer the page has. */
  readonly acked: number;
  /** Some stage has state, or a handle keeps something. */
  readonly hasState: boolean;
  readonly links: readonly StageLink[];
  /** Nothing is under way for so long, milliseconds. */
  readonly idleMs: number;
}

export interface DurabilityNeeds extends Pick<Platform, "after"> {
  standing(): Standing;
  readonly keepsState: boolean;
  readonly intervalMs: number;
  /** What may have to be done again after a loss, milliseconds. */
  readonly replayMs: number;
  readonly runs: RunBook;
  readonly tokens: Pick<TokenJournal, "limit" | "flush">;
  now(): number;
  /** All state after this run is stored, which bounds what would have to be done again. */
  stored(run: number): void;
  /** This run survives everything. */
  durable(run: number): void;
  /** What was sent up to here is asked for by nobody any more. */
  safe(run: number): void;
  /** Points have moved. */
  changed(): void;
  failed(error: ErrorData): void;
  tell(event: SessionEvent): void;
  unstorable(error: ErrorData): void;
}

/** What of a session is stored, when more of it is to be, and what the way back to it would cost. */
export class Durability {
  readonly costs = new RunCosts();
  readonly point: DurablePoint;
  readonly points: SafePoints;
  private readonly overdue: Overdue;
  private every = 0;
  private watchesIdle = false;

  /** `initialAt`: the stages had initial state after this run. */
  constructor(
    stages: number,
    initialAt: number,
    private readonly needs: DurabilityNeeds,
  ) {
    this.points = new SafePoints(stages, initialAt);
    this.point = new DurablePoint(
      this.points.stored,
      {
        limit: () => needs.tokens.limit,
        journalIsBehind: () => needs.tokens.flush(),
        moved: (run) => needs.durable(run),
      },
      initialAt,
    );
    this.overdue = new Overdue({
      after: needs.after,
      due: () => this.due(),
      store: () => {
        const { links, acked } = needs.standing();
        // Each says when it has stored it; one that stands elsewhere by now does not.
        for (const link of links) link.store(acked).catch(() => undefined);
      },
      unstorable: (error) => needs.unstorable(error),
    });
  }

  get standing(): Standing {
    return this.needs.standing();
  }
  get safe(): number {
    return this.points.safe;
  }

  /** A run after this many un-durable ones waits: that many can be done again, and no more. */
  isFull(run: number): boolean {
    if (!this.keeps) return false;
    const { durable } = this.points;
    if (run - durable > REPLAY_RUNS_MAX) return true;
    // Two points were due and neither has passed.
    return run - durable > 2 * this.every && this.costs.between(durable, run) > REPLAY_MS_MAX;
  }

  answered(before: number, acked: number): void {
    this.costs.end(before, acked, this.needs.now());
    this.setPace(false);
    // What a run takes is known better now, and one that was held for what it seemed to take may go on.
    this.needs.changed();
    this.watchIdle();
  }

  /** New stages, or new ports to them. */
  wired(): void {
    this.setPace(true);
  }

  stored(stage: number, run: number): void {
    this.points.stored[stage]?.add(run);
    this.refresh();
  }

  failed(stage: number, run: number, error: ErrorData): void {
    const inARow = this.overdue.failed(run, error);
    this.needs.tell({ type: "checkpointFailed", stage, run, error, inARow });
    this.needs.failed(error);
  }

  /**
   * Only while all is wired: what is asked for again must still be there when the request arrives, and what is known of
   * stored state is worth nothing where a stage may be on its way back.
   */
  refresh(): void {
    if (this.needs.standing().wired) this.move();
  }

  move(): void {
    const { points, needs, point } = this;
    const { runs } = needs;
    const { acked } = needs.standing();
    const { durable } = points;
    const hasMoved = points.move(acked, this.keeps, runs.lastCut(acked));
    point.refresh(acked, this.keeps);
    points.prune(point.run);
    if (points.durable > durable) {
      this.overdue.moved();
      if (this.keeps) needs.stored(points.durable);
    }
    this.overdue.look();
    if (!hasMoved) return;
    runs.forget(points.first);
    this.costs.forgetBefore(points.first);
    needs.safe(points.safe);
    needs.changed();
  }

  /** Of a session that is taken up, only this way is left. */
  goOnAt({ run, from }: Way): void {
    this.points.goOnAt(run, from);
    this.point.reset(run);
  }

  /** Where stages can be put back to. `isComplete`: none of their hosts is still on the way. */
  ways(isComplete: boolean): readonly Way[] {
    const { runs, keepsState } = this.needs;
    const { acked, hasState } = this.needs.standing();
    const known = { runs: runs.submitted.keys(), cuts: runs.cuts, costs: this.costs };
    return this.points.ways({ ...known, acked, hasState, keepsState, isComplete });
  }

  end(): void {
    this.overdue.end();
  }

  private get keeps(): boolean {
    return this.needs.keepsState && this.needs.standing().hasState;
  }

  private setPace(isNew: boolean): void {
    const every = everyRuns({ ...this.needs, runMs: this.costs.runMs });
    if (every === this.every && !isNew) return;
    this.every = every;
    this.needs.standing().links[0]?.pace({ every });
  }

  private due(): "held" | "late" | null {
    const { wired, isEnded, acked, idleMs } = this.needs.standing();
    if (isEnded || !wired || !this.keeps) return null;
    const { durable } = this.points;
    // All that may be sent has been answered.
    if (this.isFull(acked + 1)) return "held";
    return acked > durable && idleMs >= this.idleEnoughMs ? "late" : null;
  }

  private get idleEnoughMs(): number {
    return Math.max(this.needs.intervalMs, 1);
  }

  /** A session that stands still is stored as well when its interval is over. */
  private watchIdle(): void {
    if (this.watchesIdle || !this.keeps) return;
    this.watchesIdle = true;
    this.needs.after(this.idleEnoughMs, () => {
      this.watchesIdle = false;
      const { isEnded, acked } = this.needs.standing();
      if (isEnded || acked <= this.points.durable) return;
      this.overdue.look();
      this.watchIdle();
    });
  }
}

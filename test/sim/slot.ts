import { type ErrorCode, HoldfastError } from "../../src/base/errors.ts";
import { LEVELS } from "../../src/fault/levels.ts";
import type { Pool } from "../../src/page/pool.ts";
import type { Session } from "../../src/page/session.ts";
import type { SessionEvent } from "../../src/protocol/events.ts";
import { Random } from "../unit/random.ts";
import type { SlotPlan } from "./plan.ts";
import { Work } from "./work.ts";
import { nameOf } from "./world/models.ts";
import type { WebPage } from "./world/web-page.ts";

/** What a slot needs of the history that it is part of. */
export interface SlotNeeds {
  readonly seed: number;
  /** Much is done between the faults. */
  readonly isLong: boolean;
  readonly now: () => number;
  sleep(ms: number): Promise<void>;
  page(): WebPage;
  /** All faults were made: the slot may end after one more step that succeeds. */
  isOver(): boolean;
  /** Whether a session of this slot that began then may fail so. */
  mayFail(slot: Slot, code: ErrorCode, since: number, isOpening: boolean): boolean;
  /** The last run of a session that a page was told to be durable; -1: none. */
  durableRun(sessionId: string): number;
  /** What was stored may be gone, or which runs failed cannot be known. */
  isUnsure(): boolean;
  opened(): void;
  violation(what: string): void;
  note(what: () => string): void;
  event(slot: Slot, event: SessionEvent): void;
}

/** Between two steps, when nothing has happened for long. */
const QUIET_MS_MAX = 15_000;
/** A page that takes a session up sometimes comes so late that it was parked. */
const PARKED_AFTER_MS = 32_000;

/** One consumer: opens sessions and works in them, and holds every answer against the undisturbed model. */
export class Slot {
  session: Session | null = null;
  isOpening = false;
  isConnecting = false;
  /** Calls that are not settled, and since when the oldest is. */
  outstanding = 0;
  outstandingSince = 0;
  /** The session is to be given up for a new one. */
  wantsReopen = false;
  /** Should the page be reloaded, the next one takes the session up. */
  takesUp = false;
  /** A host of its session says what is wrong, and nobody can know. */
  isLiedTo = false;
  /** The session was another page's before. */
  isTakenUp = false;
  isDone = false;
  /** Steps since the last fault. */
  quietSteps = 0;
  private work: Work;
  /** The session that the page before this one had. */
  private left: { readonly id: string; readonly work: Work } | null = null;
  private isReleasing = false;
  private openedAt = 0;
  private readonly random: Random;

  constructor(
    readonly plan: SlotPlan,
    readonly index: number,
    private readonly needs: SlotNeeds,
  ) {
    this.random = new Random(needs.seed * 31 + index);
    this.work = this.newWork();
  }

  async play(): Promise<void> {
    for (;;) {
      const page = this.needs.page();
      const succeeded = await this.unlessGone(page, this.step());
      // Its page went away, and its session with it.
      if (succeeded === "gone") this.forget();
      else if (this.needs.isOver() && succeeded) break;
    }
    await this.release();
    this.isDone = true;
  }

  /** True: it did all that it was to do. */
  private async step(): Promise<boolean> {
    const { random, work } = this;
    if (this.wantsReopen) await this.release();
    this.wantsReopen = false;
    const { session, left } = this;
    if (session === null) return left === null ? this.open() : this.takeUp(left);
    // The longer nothing happens, the less it does: what matters is what it does around faults.
    const { quietSteps } = this;
    this.quietSteps++;
    await this.sleep(random.next() * Math.min(QUIET_MS_MAX, 15 * 1.8 ** quietSteps));
    if (this.wantsReopen) return false;
    const code = await work.step(session);
    if (code === null || code === "goes on") return code === null;
    await this.release();
    return false;
  }

  private open(): Promise<boolean> {
    const { plan, needs } = this;
    this.work = this.newWork();
    this.isTakenUp = false;
    this.isLiedTo = false;
    return this.opening(async (pool) => {
      const model = nameOf(plan);
      pool.registerModel(model, new Uint8Array(16));
      return pool.createSession(model, {
        shards: plan.shards,
        faultToleranceLevel: plan.level,
        recoveryStrategy: plan.strategy,
        ...(plan.spotCheck > 0 ? { spotCheck: plan.spotCheck } : {}),
        executionProviders: plan.gpu ? ["webgpu", "wasm"] : null,
        onEvent: (event) => needs.event(this, event),
      });
    });
  }

  /** The page was reloaded, and the new one goes on where the old one was. */
  private async takeUp({ id, work }: { readonly id: string; readonly work: Work }): Promise<boolean> {
    const { needs, random } = this;
    if (random.chance(0.15)) await this.sleep(PARKED_AFTER_MS);
    const known = needs.durableRun(id);
    const isUp = await this.opening((pool) => pool.resumeSession(id, { onEvent: (event) => needs.event(this, event) }));
    const { session } = this;
    this.left = null;
    if (!isUp || session === null) return false;
    this.work = work;
    this.isTakenUp = true;
    const run = session.nextRun - 1;
    needs.note(() => `slot ${this.index} took ${id} up after run ${run}`);
    if (run < known && this.keepsState && !needs.isUnsure())
      needs.violation(`a session was taken up after run ${run}, and run ${known} was called durable`);
    const code = await work.takenUp(session, run, this.keepsState && !needs.isUnsure());
    if (code !== null && code !== "goes on") await this.release();
    return code === null;
  }

  private async opening(get: (pool: Pool) => Promise<Session>): Promise<boolean> {
    const { needs } = this;
    this.isOpening = true;
    this.openedAt = needs.now();
    try {
      this.isConnecting = true;
      const pool = await this.counted(needs.page().connect());
      this.isConnecting = false;
      this.session = await this.counted(get(pool));
      needs.opened();
      return true;
    } catch (error) {
      this.check(codeOf(error), true);
      await this.sleep(200);
      return false;
    } finally {
      this.isOpening = false;
      this.isConnecting = false;
    }
  }

  private newWork(): Work {
    const { plan, random, needs } = this;
    return new Work(plan, random, {
      isLong: needs.isLong,
      isLiedTo: () => this.isLiedTo,
      counted: (call) => this.counted(call),
      settled: () => {
        this.outstandingSince = needs.now();
      },
      check: (code) => this.check(code, false),
      violation: (what) => needs.violation(what),
    });
  }

  private check(code: ErrorCode, isOpening: boolean): void {
    this.needs.note(() => `slot ${this.index} heard ${code}`);
    if (!this.needs.mayFail(this, code, this.openedAt, isOpening))
      this.needs.violation(`${code} in ${isOpening ? "an opening" : "a session"} at level ${this.plan.level}`);
  }

  private get keepsState(): boolean {
    return !this.plan.stateful || LEVELS[this.plan.level].keepsState;
  }

  private async release(): Promise<void> {
    const { session } = this;
    if (session === null) return;
    this.isReleasing = true;
    this.session = null;
    await this.counted(session.release());
    this.isReleasing = false;
  }

  /** Its page is gone. */
  private forget(): void {
    const { session, work } = this;
    const goesOn = this.takesUp && session !== null && !this.isReleasing;
    if (goesOn) {
      work.leave(session);
      this.left = { id: session.id, work };
    } else if (!this.takesUp) this.left = null;
    this.takesUp = false;
    this.session = null;
    this.isReleasing = false;
    this.isOpening = false;
    this.isConnecting = false;
    this.outstanding = 0;
  }

  /** The page's own code ends with the page. */
  private unlessGone<T>(page: WebPage, step: Promise<T>): Promise<T | "gone"> {
    return Promise.race([step, page.gone.then(() => "gone" as const)]);
  }

  private async counted<T>(call: Promise<T>): Promise<T> {
    const page = this.needs.page();
    if (this.outstanding++ === 0) this.outstandingSince = this.needs.now();
    try {
      return await call;
    } finally {
      await this.goOn(page);
      if (this.outstanding > 0) this.outstanding--;
      this.outstandingSince = this.needs.now();
    }
  }

  private async sleep(ms: number): Promise<void> {
    const page = this.needs.page();
    await this.needs.sleep(ms);
    await this.goOn(page);
  }

  /** What a page that is gone would have done is never done. */
  private goOn(page: WebPage): Promise<void> {
    return page === this.needs.page() ? Promise.resolve() : new Promise(() => undefined);
  }
}

export function codeOf(error: unknown): ErrorCode {
  if (error instanceof HoldfastError) return error.code;
  throw error;
}

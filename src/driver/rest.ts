import { type ErrorData, HoldfastError } from "../base/errors.ts";
import { CHECKPOINT_RETRY_MS } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";
import type { SessionEvent } from "../protocol/events.ts";
import type { DurablePoint } from "./durable-point.ts";
import type { StageLink } from "./wiring.ts";

/** Why a parked session does not get its hosts now, and may later. */
const LEAVES_PARKED: ReadonlySet<ErrorData["code"]> = new Set([
  "TOO_MANY_HOSTS",
  "LIMIT_REACHED",
  "PLACE_IN_USE",
  "MODEL_DELETED",
  "RECOVERY_FAILED",
  // Hosts are journalled before they open.
  "QUOTA_EXCEEDED",
]);

export interface RestNeeds {
  /** The session as it is now. `epoch` grows with each wiring. */
  state(): {
    readonly wired: boolean;
    readonly acked: number;
    readonly lastRun: number;
    readonly epoch: number;
    readonly links: readonly StageLink[];
    readonly ended: HoldfastError | null;
  };
  /** What state there is, is in the hosts only. */
  isBound(): boolean;
  readonly point: DurablePoint;
  flushTokens(): void;
  unwire(): void;
  park(): Promise<unknown>;
  reattach(): Promise<void>;
  tell(event: SessionEvent): void;
  now(): number;
  after: Platform["after"];
}

/** What a driver does between runs: durable points when they are asked for, and hosts given back when nobody runs. */
export class Rest {
  /** The next run that the driver feeds is to be a durable point. */
  wantsCheckpoint = false;
  private lastRunAt: number;
  /** The hosts were given back, or are being; null: the session has hosts. */
  private parking: Promise<unknown> | null = null;
  private isBack = false;
  private failures = 0;
  private failure: ErrorData | null = null;
  private readonly waiters: (() => void)[] = [];

  constructor(private readonly needs: RestNeeds) {
    this.lastRunAt = needs.now();
  }

  /** Without hosts, and nobody asks for any. */
  get isParked(): boolean {
    return this.parking !== null && !this.isBack;
  }

  /** For how long there was nothing to do, milliseconds. */
  get idleMs(): number {
    return this.isQuiet && this.parking === null ? this.needs.now() - this.lastRunAt : 0;
  }

  /** A run comes: hosts are brought again where they were given back. */
  run(): void {
    this.lastRunAt = this.needs.now();
    if (!this.isParked) return;
    this.isBack = true;
    // Whether it was parked or not: an attach finds out.
    void this.parking?.catch(() => undefined).then(() => this.needs.reattach());
  }

  /** Hosts are there again, after so long; null: they never went. */
  attached(since: number): number | null {
    const wasParked = this.isBack;
    this.isBack = false;
    this.parking = null;
    return wasParked ? this.needs.now() - since : null;
  }

  /** No hosts now. True: the session stays where it is, and what was asked of it fails. */
  refused(error: HoldfastError): boolean {
    const stays = this.isBack && LEAVES_PARKED.has(error.code);
    if (stays) this.isBack = false;
    return stays;
  }

  /** A state could not be stored. */
  storeFailed(error: ErrorData): void {
    this.failures++;
    this.failure = error;
  }

  /**
   * Resolves, with the last run, once the state after all runs so far is stored by every stage. Rejects with what storage
   * said when it cannot be stored after pauses either; the session goes on.
   */
  async makeDurable(): Promise<number> {
    const { needs } = this;
    if (needs.isBound())
      throw new HoldfastError(
        "LEVEL_UNSUPPORTED",
        "This level keeps no state, so nothing can be made durable; use level medium.",
      );
    const { point } = needs;
    const run = needs.state().lastRun;
    // The next run of a generation takes it along; without one, the stages are asked as soon as all are idle.
    this.wantsCheckpoint = point.run < run;
    needs.flushTokens();
    for (let tries = 0; point.run < run; ) {
      const { failures } = this;
      await Promise.race([point.reached(run), this.quiet()]);
      const { ended } = needs.state();
      if (ended !== null) throw ended;
      if (point.run < run) await Promise.race([point.reached(run), this.storeAll()]);
      if (this.failures === failures || point.run >= run) continue;
      const pauseMs = CHECKPOINT_RETRY_MS[tries++];
      if (pauseMs === undefined) throw HoldfastError.from(this.failure as ErrorData);
      await Promise.race([point.reached(run), new Promise<void>((resolve) => needs.after(pauseMs, resolve))]);
    }
    return run;
  }

  /** Gives the hosts back, once all is durable. The next run brings others. */
  async park(): Promise<void> {
    const { needs, lastRunAt } = this;
    if (this.parking !== null || needs.isBound()) return;
    await this.makeDurable();
    if (this.parking !== null || this.lastRunAt !== lastRunAt || !this.isQuiet) return;
    needs.unwire();
    this.parking = needs.park();
    needs.tell({ type: "parked" });
    await this.parking.catch(() => undefined);
  }

  /** Something has changed: a wiring, an answer, the end. */
  changed(): void {
    for (const wake of this.waiters.splice(0)) wake();
  }

  private get isQuiet(): boolean {
    const { ended, wired, acked, lastRun } = this.needs.state();
    return ended === null && wired && acked >= lastRun;
  }

  private async storeAll(): Promise<void> {
    const { epoch, acked, links } = this.needs.state();
    await Promise.all(links.map((link) => link.store(acked)));
    // Each says when it has; whoever has gone on or was lost meanwhile does not.
    const now = this.needs.state();
    if (!this.isQuiet || epoch !== now.epoch || acked !== now.acked) return;
    await Promise.race([this.needs.point.reached(acked), this.change()]);
  }

  /** Resolves when nothing is under way. */
  private async quiet(): Promise<void> {
    while (this.needs.state().ended === null && !this.isQuiet) await this.change();
  }

  /** Resolves with the next change. */
  change(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }
}

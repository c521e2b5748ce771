import type { ErrorData } from "../base/errors.ts";
import { CHECKPOINT_RETRY_MS } from "../base/limits.ts";
import type { Platform } from "../base/platform.ts";

export interface OverdueNeeds extends Pick<Platform, "after"> {
  /** "held": no new run is taken up until a durable point passes; "late": all is answered and the interval is over. */
  due(): "held" | "late" | null;
  /** Asks all stages to store the state that they stand at, once nothing is under way. */
  store(): void;
  /** The level's promise cannot be kept. */
  unstorable(error: ErrorData): void;
}

/**
 * Durable points that no run brings: one that could not be stored is made again with the next run that is due, so only
 * where there will be none, stages are asked from here. Pauses in between let a full disk be cleared.
 */
export class Overdue {
  /** Points in a row that could not be stored. */
  inARow = 0;
  private lastFailed = -1;
  /** Of those asked for here. */
  private failures = 0;
  private isAsked = false;
  private cancel: (() => void) | null = null;

  constructor(private readonly needs: OverdueNeeds) {}

  /** Returns how many in a row that makes. One point may fail in several stages. */
  failed(run: number, error: ErrorData): number {
    if (run > this.lastFailed || this.isAsked) this.inARow++;
    this.lastFailed = Math.max(this.lastFailed, run);
    if (this.isAsked) this.failures++;
    this.isAsked = false;
    if (this.failures >= CHECKPOINT_RETRY_MS.length && this.needs.due() === "held") this.needs.unstorable(error);
    else this.look();
    return this.inARow;
  }

  /** A durable point has passed. */
  moved(): void {
    this.inARow = 0;
    this.failures = 0;
    this.isAsked = false;
  }

  /** Something has changed. */
  look(): void {
    if (this.cancel !== null || this.isGivenUp || this.needs.due() === null) return;
    const pauseMs = CHECKPOINT_RETRY_MS[Math.min(this.failures, CHECKPOINT_RETRY_MS.length - 1)] ?? 0;
    this.cancel = this.needs.after(pauseMs, () => {
      this.cancel = null;
      if (this.isGivenUp || this.needs.due() === null) return;
      this.isAsked = true;
      this.needs.store();
      this.look();
    });
  }

  /** Of what is merely late: it comes with the next run. */
  private get isGivenUp(): boolean {
    return this.failures >= CHECKPOINT_RETRY_MS.length && this.needs.due() !== "held";
  }

  end(): void {
    this.cancel?.();
  }
}

import { RESTORE_EXPECTED_MS } from "../base/limits.ts";

/** What runs and restores took, as the driver sees it: by this a replay is weighed against reading stored state. */
export class RunCosts {
  private readonly begun = new Map<number, number>();
  private readonly took = new Map<number, number>();
  private lastEnd = 0;
  private lastMs = 0;
  /** Of the last restore from storage, milliseconds. */
  restoreMs = RESTORE_EXPECTED_MS;

  begin(run: number, now: number): void {
    this.begun.set(run, now);
  }

  /** The answers of the runs after `before`, up to `run`, have arrived. */
  end(before: number, run: number, now: number): void {
    const begun = this.begun.get(before + 1);
    // Who waits for the run before it does not count twice.
    if (begun !== undefined) this.lastMs = (now - Math.max(begun, this.lastEnd)) / (run - before);
    for (let each = before + 1; each <= run; each++) {
      this.begun.delete(each);
      this.took.set(each, this.lastMs);
    }
    this.lastEnd = now;
  }

  /** What is under way will take longer than it should, and tells nothing. */
  disturbed(): void {
    this.begun.clear();
  }

  /** Milliseconds; of a run that was not measured, those of the last that was. */
  of(run: number): number {
    return this.took.get(run) ?? this.lastMs;
  }

  /** What a run takes, milliseconds; 0: none was measured yet. */
  get runMs(): number {
    return this.lastMs;
  }

  /** Milliseconds that the runs after `before`, up to `run`, would take again. */
  between(before: number, run: number): number {
    let ms = 0;
    for (let each = before + 1; each <= run; each++) ms += this.of(each);
    return ms;
  }

  forgetBefore(run: number): void {
    for (const each of this.took.keys()) if (each < run) this.took.delete(each);
  }
}

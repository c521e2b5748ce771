import { HANG_FLOOR_MS, RUN_DEADLINE_FACTOR } from "../base/limits.ts";
import { bucket } from "../fault/hang-detector.ts";

/** A run of up to this many milliseconds gets no more time than a host that shows no sign of life. */
export const SHORT_RUN_MS = HANG_FLOOR_MS / RUN_DEADLINE_FACTOR / 2;

export interface RunReportNeeds {
  started(run: number, shape: string): void;
  ended(run: number): void;
  /** Milliseconds. */
  now(): number;
}

/**
 * Which runs the keeper hears of, so that it can hold them to a deadline. Where a run blocks the thread, one of a shape
 * that is known to be short needs no telling: while it hangs no heartbeat is answered, and that has the same limit.
 */
export class RunReports {
  private readonly longest = new Map<string, number>();
  private current: { readonly shape: string; readonly since: number; readonly told: boolean } | null = null;

  constructor(
    private readonly needs: RunReportNeeds,
    private readonly runsBlock: boolean,
  ) {}

  started(run: number, dims: string): void {
    const shape = bucket(dims);
    const known = this.longest.get(shape);
    const told = !this.runsBlock || known === undefined || known > SHORT_RUN_MS;
    this.current = { shape, since: this.needs.now(), told };
    if (told) this.needs.started(run, dims);
  }

  ended(run: number): void {
    if (this.current === null) return;
    const { shape, since, told } = this.current;
    this.current = null;
    this.longest.set(shape, Math.max(this.longest.get(shape) ?? 0, this.needs.now() - since));
    if (told) this.needs.ended(run);
  }
}

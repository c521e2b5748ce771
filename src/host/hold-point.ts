import type { Hold, HoldPhase } from "../protocol/host.ts";

/** Longest time that a held computation keeps the thread busy, milliseconds; below every hang limit. */
const SPIN_MS = 1_500;

/** Stops a host in a chosen phase of a chosen run, so that a test can aim a fault. Does nothing in the normal build. */
export class HoldPoint {
  private hold: Hold | null = null;
  private release: (() => void) | null = null;

  constructor(
    private readonly enabled: boolean,
    private readonly held: (phase: HoldPhase) => void,
  ) {}

  set(hold: Hold | null): void {
    if (!this.enabled) return;
    this.hold = hold;
    if (hold === null) this.release?.();
  }

  async reach(phase: HoldPhase, run: number): Promise<void> {
    const hold = this.hold;
    if (!this.enabled || hold === null || hold.phase !== phase || run < hold.run) return;
    this.hold = null;
    this.held(phase);
    if (phase === "compute") {
      // A wasm run blocks the thread, so the stand-in for "in the middle of it" does as well.
      const until = performance.now() + SPIN_MS;
      while (performance.now() < until);
      return;
    }
    await new Promise<void>((resolve) => {
      this.release = resolve;
    });
    this.release = null;
  }
}

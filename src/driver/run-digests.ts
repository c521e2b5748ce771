import { RESEND_RUNS_MAX } from "../base/limits.ts";

/**
 * What each stage answered to its last runs, as digests. A stage that was brought back does some of them again: that is its
 * probe, for what they must give is known. Only hosts that give the same bits each time tell digests.
 */
export class RunDigests {
  private readonly stages = new Map<number, Map<number, string>>();

  /**
   * False: the stage answered this run otherwise before. That is said once, then all of it is forgotten: a model that draws
   * random numbers never answers the same, and must come to an end.
   */
  agrees(stage: number, run: number, digest: string): boolean {
    const known = this.stages.get(stage) ?? new Map<number, string>();
    this.stages.set(stage, known);
    const before = known.get(run);
    if (before !== undefined && before !== digest) this.stages.delete(stage);
    if (before !== undefined) return before === digest;
    known.set(run, digest);
    const [oldest] = known.keys();
    if (known.size > RESEND_RUNS_MAX && oldest !== undefined) known.delete(oldest);
    return true;
  }

  /** This run failed, and is left out when it is done again: what came after it went on from another state. */
  failed(run: number): void {
    for (const known of this.stages.values()) for (const after of known.keys()) if (after >= run) known.delete(after);
  }
}

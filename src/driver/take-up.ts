import type { HoldfastError } from "../base/errors.ts";
import type { KnownGeneration } from "../protocol/client.ts";
import { type ResumePoint, resumePoint } from "./resume-point.ts";

/** A session whose page has forgotten it: where it goes on, found out with the stages' first answers. */
export class TakeUp {
  private readonly refused = new Set<number>();
  private resolve: (point: ResumePoint) => void = () => undefined;
  private reject: (error: HoldfastError) => void = () => undefined;
  /** Resolves when all stages stand there. */
  readonly reached = new Promise<ResumePoint>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor(
    readonly generation: KnownGeneration | null,
    private readonly durableRun: number,
  ) {
    // It may fail before anybody waits for it.
    this.reached.catch(() => undefined);
  }

  point(stored: readonly ReadonlySet<number>[], stateful: boolean, keepsState: boolean): ResumePoint {
    const { generation, durableRun, refused } = this;
    return resumePoint({ stored, generation, durableRun, stateful, keepsState, refused });
  }

  /** The state stored after this run cannot be used. False: it was refused before. */
  refuse(run: number): boolean {
    if (this.refused.has(run)) return false;
    this.refused.add(run);
    return true;
  }

  done(point: ResumePoint): void {
    this.resolve(point);
  }

  failed(error: HoldfastError): void {
    this.reject(error);
  }
}

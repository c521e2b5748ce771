import { deferred } from "../base/deferred.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { KnownGeneration } from "../protocol/client.ts";
import { type ResumePoint, resumePoint } from "./resume-point.ts";

/** A session whose page has forgotten it: where it goes on, found out with the stages' first answers. */
export class TakeUp {
  private readonly refused = new Set<number>();
  private readonly end = deferred<ResumePoint>();

  constructor(
    readonly generation: KnownGeneration | null,
    private readonly durableRun: number,
  ) {}

  /** Resolves when all stages stand there. */
  get reached(): Promise<ResumePoint> {
    return this.end.promise;
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
    this.end.resolve(point);
  }

  failed(error: HoldfastError): void {
    this.end.reject(error);
  }
}

import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { RunHead, StageMessage } from "../protocol/stage.ts";
import { isCut, type Submitted } from "./replay.ts";
import { boundsOf } from "./safe-points.ts";

interface Waiter {
  resolve(tensors: WireTensors): void;
  reject(error: HoldfastError): void;
}

/**
 * The runs that can be done again, and who waits for what they give. Of a session that is taken up, the newest may come first.
 */
export class RunBook {
  readonly submitted = new Map<number, Submitted>();
  /** Runs that failed on their own account: skipped in a replay. */
  readonly failed = new Map<number, ErrorData>();
  /** Those that need nothing from before them. */
  readonly cuts = new Set<number>();
  /** The last run that the driver itself has fed. */
  fed = -1;
  private readonly waiters = new Map<number, Waiter>();

  constructor(private readonly stateful: boolean) {}

  add(run: Submitted): void {
    if (isCut(run, this.stateful)) this.cuts.add(run.run);
    this.submitted.set(run.run, run);
  }

  /** What the driver feeds: a run of its own, or that one is to be skipped; null: the page feeds it. */
  message({ run, reset, reply, lineage, feeds }: Submitted, checkpoint: boolean, safe: number): StageMessage | null {
    const error = this.failed.get(run);
    if (error === undefined && feeds === null) return null;
    this.fed = Math.max(this.fed, run);
    const head: RunHead = { run, reset, checkpoint, safe, reply, lineage };
    return error === undefined ? { head, tensors: feeds?.() ?? {} } : { head, error };
  }

  /** The outputs of a run that replies to the driver. */
  output(run: number): Promise<WireTensors> {
    return new Promise((resolve, reject) => this.waiters.set(run, { resolve, reject }));
  }

  answered(message: StageMessage): void {
    const { run } = message.head;
    const waiter = this.waiters.get(run);
    this.waiters.delete(run);
    if ("tensors" in message) waiter?.resolve(message.tensors);
    else {
      this.failed.set(run, message.error);
      waiter?.reject(HoldfastError.from(message.error));
    }
  }

  /** Those after `acked` fail. Returns what is to be told of runs that the page feeds. */
  fail(acked: number, error: HoldfastError): number[] {
    const told: number[] = [];
    for (const { run, reply } of this.submitted.values()) {
      if (run <= acked) continue;
      if (reply === "page") told.push(run);
      this.waiters.get(run)?.reject(error);
      this.waiters.delete(run);
    }
    return told;
  }

  /** As `fail`, and they are skipped from here on. */
  skip(acked: number, error: HoldfastError): number[] {
    for (const run of this.submitted.keys()) if (run > acked) this.failed.set(run, toErrorData(error));
    return this.fail(acked, error);
  }

  end(error: HoldfastError): void {
    for (const { reject } of this.waiters.values()) reject(error);
    this.waiters.clear();
  }

  /** The last run that was asked for. */
  last(acked: number): number {
    return Math.max(acked, boundsOf(this.submitted.keys(), acked)[1]);
  }

  /** A run that needs nothing from before it makes that unimportant, once it was answered. */
  lastCut(acked: number): number {
    let cut = -1;
    // Not only the last of them: what an earlier driver called safe, the page has dropped.
    for (const run of this.cuts) if (run <= acked + 1) cut = Math.max(cut, run - 1);
    return cut;
  }

  /** All runs before this one. */
  forget(first: number): void {
    for (const runs of [this.submitted, this.cuts, this.failed])
      for (const run of runs.keys()) if (run < first) runs.delete(run);
  }
}

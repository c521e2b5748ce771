import { type ErrorData, HoldfastError, toErrorData } from "../base/errors.ts";
import type { WireTensors } from "../base/tensor.ts";
import type { StageMessage } from "../protocol/stage.ts";
import type { Submitted } from "./replay.ts";
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
  /** Those that start from initial state. */
  readonly resets = new Set<number>();
  private readonly waiters = new Map<number, Waiter>();

  add(run: Submitted): void {
    if (run.reset) this.resets.add(run.run);
    this.submitted.set(run.run, run);
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

  /** A run that starts from initial state makes what was before it unimportant, once that was answered. */
  lastCut(acked: number): number {
    let cut = -1;
    // Not only the last of them: what an earlier driver called safe, the page has dropped.
    for (const run of this.resets) if (run <= acked + 1) cut = Math.max(cut, run - 1);
    return cut;
  }

  /** All runs before this one. */
  forget(first: number): void {
    for (const runs of [this.submitted, this.resets, this.failed])
      for (const run of runs.keys()) if (run < first) runs.delete(run);
  }
}

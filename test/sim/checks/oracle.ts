import type { WireTensors } from "../../../src/base/tensor.ts";
import { BAD_ID, Reference } from "../../unit/driver/world/model.ts";

/** Runs that compute nothing and nobody asked for, at the end. */
const PASSING_MAX = 2;

/** A run as it was asked for. */
export interface AskedRun {
  readonly run: number;
  readonly ids: readonly number[];
  readonly reset: boolean;
  /** The state that it starts from, where that is not the one after the run before. */
  readonly from: WireTensors | null;
}

/** Holds what a session answers against the undisturbed model. Each returns what is wrong, or null. */
export class Oracle {
  private readonly reference: Reference;
  /** The state after each run. */
  private readonly versions = new Map<number, WireTensors>();
  /** The state went with a host, as the level allows, until a run starts from initial state. */
  private isLost = false;

  constructor(
    shards: number,
    private readonly stateful: boolean,
  ) {
    this.reference = new Reference(shards, stateful);
    this.versions.set(-1, this.version);
  }

  /** The state after the last run. */
  get version(): WireTensors {
    return this.reference.version;
  }

  ran({ run, ids, reset, from }: AskedRun, logits: readonly number[]): string | null {
    if (reset || from !== null || !this.stateful) this.isLost = false;
    if (this.isLost) return "an answer from a state that was lost";
    if (from !== null) this.reference.from(from);
    const expected = this.reference.run(ids, reset);
    this.versions.set(run, this.version);
    if (expected === null) return "an answer to a run that fails";
    return isSame(expected, logits) ? null : `wrong output of run ${run} for ${ids.join(" ")}`;
  }

  /** A run failed on its own account: it is as if it had never been, but for where it started. */
  failed({ run, reset, from }: AskedRun): void {
    if (from !== null) this.reference.from(from);
    this.reference.run([BAD_ID], reset);
    if (reset || from !== null) this.isLost = false;
    this.versions.set(run, this.version);
  }

  /** A run that computes nothing. */
  passed(run: number): void {
    this.versions.set(run, this.version);
  }

  lost(): void {
    this.isLost = true;
  }

  generated(
    { base, prompt, count }: { readonly base: number; readonly prompt: readonly number[]; readonly count: number },
    ids: readonly number[],
    isWhole: boolean,
  ): string | null {
    const expected = this.generate(base, prompt, count);
    this.isLost = !isWhole;
    const due = isWhole ? expected : expected.slice(0, ids.length);
    return isSame(due, ids) ? null : `wrong tokens: ${ids.join(" ")} instead of ${due.join(" ")}`;
  }

  /** Runs that nobody heard the answers of: what was computed and stored of them must be the same. */
  unheard(runs: readonly AskedRun[]): void {
    for (const { run, ids, reset, from } of runs) {
      if (from !== null) this.reference.from(from);
      this.reference.run(ids, reset);
      this.versions.set(run, this.version);
    }
  }

  unheardGeneration(base: number, prompt: readonly number[], count: number): void {
    this.generate(base, prompt, count);
  }

  /** Another page took the session up, and it stands after this run. */
  takenUp(run: number): string | null {
    const known = Math.max(...this.versions.keys());
    if (run > known + PASSING_MAX) return `a session was taken up after run ${run}, and ${known} was the last one`;
    // Runs that only tell the hosts to forget something take numbers of their own, and change nothing.
    let last = run;
    while (!this.versions.has(last)) last--;
    const version = this.versions.get(last) as WireTensors;
    this.reference.from(version);
    this.isLost = false;
    return null;
  }

  private generate(base: number, prompt: readonly number[], count: number): number[] {
    const ids: number[] = [];
    while (ids.length < count) {
      const run = base + ids.length;
      const logits = this.reference.run(ids.length === 0 ? prompt : [ids.at(-1) as number], ids.length === 0) ?? [];
      this.versions.set(run, this.version);
      ids.push(logits.indexOf(Math.max(...logits)));
    }
    return ids;
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

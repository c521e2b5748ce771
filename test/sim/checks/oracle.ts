import { BAD_ID, Reference } from "../../unit/driver/world/model.ts";

/** Holds what a session answers against the undisturbed model. Each returns what is wrong, or null. */
export class Oracle {
  private readonly reference: Reference;
  /** The state went with a host, as the level allows, until a run starts from initial state. */
  private isLost = false;

  constructor(
    shards: number,
    private readonly stateful: boolean,
  ) {
    this.reference = new Reference(shards, stateful);
  }

  ran(ids: readonly number[], reset: boolean, logits: readonly number[]): string | null {
    if (reset || !this.stateful) this.isLost = false;
    if (this.isLost) return "an answer from a state that was lost";
    const expected = this.reference.run(ids, reset);
    if (expected === null) return "an answer to a run that fails";
    return isSame(expected, logits) ? null : `wrong output for ${ids.join(" ")}`;
  }

  /** A run failed on its own account: it is as if it had never been. */
  failed(reset: boolean): void {
    this.reference.run([BAD_ID], reset);
    if (reset) this.isLost = false;
  }

  lost(): void {
    this.isLost = true;
  }

  generated(prompt: readonly number[], count: number, ids: readonly number[], isWhole: boolean): string | null {
    const expected = this.reference.generate(prompt, count);
    this.isLost = !isWhole;
    const due = isWhole ? expected : expected.slice(0, ids.length);
    return isSame(due, ids) ? null : `wrong tokens: ${ids.join(" ")} instead of ${due.join(" ")}`;
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

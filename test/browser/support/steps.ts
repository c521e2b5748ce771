/** A token loop that the page drives itself: `session.run` with the state bound, one answer after the other. */
import { expect, type Page } from "../harness/fixtures.ts";

export interface Step {
  readonly token: number;
  /** The logits of the last position. */
  readonly logits: readonly number[];
}

/** A step must come to an end on a GPU that the CPU emulates, with a recovery in the middle. */
const STEPS_TIMEOUT_MS = 300_000;

/** Greedy steps from a prompt, each fed the token before; what a page would write, without a thought of faults. */
export function decode(page: Page, promptIds: readonly number[], steps: number): Promise<Step[]> {
  return page.evaluateWithin(
    STEPS_TIMEOUT_MS,
    async (prompt, count) => {
      const { session } = window.underTest;
      const int64 = (values: readonly number[]) => ({
        type: "int64",
        dims: [1, values.length],
        data: BigInt64Array.from(values, BigInt),
      });
      const taken: { token: number; logits: number[] }[] = [];
      for (let past = 0, ids = prompt; taken.length < count; ) {
        const total = past + ids.length;
        const outputs = await session.run(
          {
            input_ids: int64(ids),
            attention_mask: int64(Array.from({ length: total }, () => 1)),
            position_ids: int64(ids.map((_, at) => past + at)),
          },
          { reset: past === 0 },
        );
        const { dims, data } = outputs["logits"] as { dims: readonly number[]; data: unknown };
        const logits = [...(data as Float32Array).slice(-(dims.at(-1) as number))];
        const token = logits.indexOf(Math.max(...logits));
        taken.push({ token, logits });
        past = total;
        ids = [token];
      }
      return taken;
    },
    promptIds,
    steps,
  );
}

/**
 * How far the two are apart, and by how much the first place leads the second: the argmax is safe while it is more than
 * twice that. Both as a share of the step's largest logit, because float32 rounds in proportion: with logits up to 15 an
 * undisturbed GPU is 0.0006 away from wasm.
 */
export function compareSteps(actual: readonly Step[], expected: readonly Step[]): { error: number; margin: number } {
  expect(actual.map(({ token }) => token)).toEqual(expected.map(({ token }) => token));
  let error = 0;
  let margin = Number.POSITIVE_INFINITY;
  for (const [index, { logits }] of expected.entries()) {
    const other = actual[index]?.logits ?? [];
    expect(other).toHaveLength(logits.length);
    const scale = Math.max(...logits.map(Math.abs));
    for (const [at, value] of logits.entries())
      error = Math.max(error, Math.abs(value - (other[at] as number)) / scale);
    const [first = 0, second = 0] = [...logits].sort((a, b) => b - a);
    margin = Math.min(margin, (first - second) / scale);
  }
  return { error, margin };
}

/** The largest difference of any two logits, as it is. */
export function largestDifference(actual: readonly Step[], expected: readonly Step[]): number {
  return Math.max(
    ...expected.flatMap(({ logits }, step) =>
      logits.map((value, at) => Math.abs(value - (actual[step]?.logits[at] ?? Number.NaN))),
    ),
  );
}

import { describe, expect, it } from "vitest";
import { WEIGHT_KEPT_BYTES_MAX } from "../../../src/base/limits.ts";
import { ShardWeights } from "../../../src/host/shard-weights.ts";

const LARGE = WEIGHT_KEPT_BYTES_MAX + 1;
const full = (length: number, value: number) => new Uint8Array(length).fill(value);

/** Weights of these sizes, by the names w0, w1, …, each filled with its number. */
function weightsOf(isKept: boolean, ...lengths: readonly number[]) {
  const weights = new ShardWeights();
  for (const [i, length] of lengths.entries())
    weights.put({ path: `w${i}`, length, offset: 0, bytes: full(length, i), isKept });
  const files = weights.files().map(({ data }) => data);
  /** As onnxruntime reads external data. */
  const take = (i: number): Uint8Array => files[i]?.subarray(0, files[i].byteLength).slice() ?? new Uint8Array();
  const held = (): number => files.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  return { weights, take, held };
}

describe("the weights of a shard", () => {
  it("are put together from pieces, whose buffers are gone then", () => {
    const weights = new ShardWeights();
    const pieces = [full(3, 1), full(2, 2)];
    for (const [i, bytes] of pieces.entries())
      weights.put({ path: "w", length: 5, offset: i * 3, bytes, isKept: false });
    const data = weights.files()[0]?.data;
    expect([...(data?.subarray(0, 5) ?? [])]).toEqual([1, 1, 1, 2, 2]);
    expect(pieces.map(({ buffer }) => buffer.byteLength)).toEqual([0, 0]);
  });
  it("are freed one after the other, each when the next is asked for", () => {
    const { take, held } = weightsOf(false, LARGE, LARGE, LARGE);
    const left = [2, 0, 1].map((i) => {
      expect(take(i)).toEqual(full(LARGE, i));
      return held();
    });
    expect(left).toEqual([3 * LARGE, 2 * LARGE, LARGE]);
  });
  it("are all freed when the session is made", () => {
    const { weights, held } = weightsOf(false, LARGE, 10);
    weights.free();
    expect(held()).toBe(0);
  });
  it("tell each time that one is asked for", () => {
    let asked = 0;
    const weights = new ShardWeights(() => {
      asked += 1;
    });
    for (const path of ["a", "b"]) weights.put({ path, length: 1, offset: 0, bytes: full(1, 1), isKept: false });
    for (const { data } of weights.files()) data.subarray(0, 1);
    expect(asked).toBe(2);
  });
  it("that are small can be asked for again", () => {
    const { weights, take } = weightsOf(false, 10, LARGE);
    for (const i of [0, 1, 0]) expect(take(i)).toHaveLength(i === 0 ? 10 : LARGE);
    expect(weights.askedAgain).toBe(false);
  });
  it("that are large and asked for again are missed, and that is told", () => {
    const { weights, take } = weightsOf(false, LARGE, LARGE);
    take(0);
    take(1);
    expect(() => take(0)).toThrow();
    expect(weights.askedAgain).toBe(true);
  });
  it("can be kept", () => {
    const { weights, take } = weightsOf(true, LARGE, LARGE);
    for (const i of [0, 1, 0, 1]) expect(take(i)).toEqual(full(LARGE, i));
    expect(weights.askedAgain).toBe(false);
  });
});

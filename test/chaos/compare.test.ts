import { describe, expect, test } from "vitest";
import { differenceOf, StreamCheck } from "./site/compare.js";

const floats = (...values: number[]) => ({ y: { data: Float32Array.of(...values) } });

describe("an answer", () => {
  test("the same bits are no difference", () => {
    expect(differenceOf(floats(1, 2), floats(1, 2), 0)).toBeNull();
    const long = { y: { data: BigInt64Array.of(1n) } };
    expect(differenceOf(long, { y: { data: BigInt64Array.of(1n) } }, 1e-3)).toBeNull();
    expect(differenceOf(long, { y: { data: BigInt64Array.of(2n) } }, 1e-3)).not.toBeNull();
  });

  test("one bit is a difference, that of a sign of zero as well", () => {
    expect(differenceOf(floats(1, 2), floats(1, 2 + 2 ** -22), 0)).toMatch(/^y\[1\]/);
    expect(differenceOf(floats(0), floats(-0), 0)).not.toBeNull();
  });

  test("a tolerance is a share of the largest value, and no NaN is within it", () => {
    expect(differenceOf(floats(0, 10), floats(0.009, 10), 1e-3)).toBeNull();
    expect(differenceOf(floats(0, 10), floats(0.011, 10), 1e-3)).not.toBeNull();
    expect(differenceOf(floats(0, 10), floats(Number.NaN, 10), 1e-3)).not.toBeNull();
  });

  test("an output that is absent, or of another size, is a difference", () => {
    expect(differenceOf(floats(1), {}, 0)).not.toBeNull();
    expect(differenceOf(floats(1), floats(1, 2), 0)).not.toBeNull();
  });
});

describe("a stream", () => {
  const IDS = [7, 8, 9, 7];
  const played = (...tokens: [index: number, id: number][]) => {
    const check = new StreamCheck(IDS);
    for (const [index, id] of tokens) check.take({ index, id });
    check.end();
    const { missing, doubled, wrong } = check;
    return { missing, doubled, wrong };
  };

  test("all tokens once and in order", () => {
    expect(played([0, 7], [1, 8], [2, 9], [3, 7])).toEqual({ missing: 0, doubled: 0, wrong: 0 });
  });

  test("one that comes twice, one that is left out, one that is another, an end too early", () => {
    expect(played([0, 7], [1, 8], [1, 8], [2, 9], [3, 7])).toEqual({ missing: 0, doubled: 1, wrong: 0 });
    expect(played([0, 7], [2, 9], [3, 7])).toEqual({ missing: 1, doubled: 0, wrong: 0 });
    expect(played([0, 7], [1, 9], [2, 9], [3, 7])).toEqual({ missing: 0, doubled: 0, wrong: 1 });
    expect(played([0, 7], [1, 8])).toEqual({ missing: 2, doubled: 0, wrong: 0 });
  });

  test("one too many is wrong", () => {
    expect(played([0, 7], [1, 8], [2, 9], [3, 7], [4, 1])).toMatchObject({ wrong: 1 });
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shareOut } from "../../../src/shard/share-out.ts";

describe("hosts shared out by weight", () => {
  it.each<[string, number[], number, number[]]>([
    ["one each, however light", [100, 1, 1], 3, [1, 1, 1]],
    ["the next goes to what weighs most", [100, 1, 1], 5, [3, 1, 1]],
    ["in proportion", [60, 30, 10], 10, [6, 3, 1]],
    ["equals take turns", [5, 5], 4, [2, 2]],
    ["weights of nothing", [0, 0], 3, [2, 1]],
    ["a model alone has all", [7], 4, [4]],
  ])("%s", (_, weights, total, shares) => {
    expect(shareOut(weights, total)).toEqual(shares);
  });

  it("has the smallest largest part of all divisions", () => {
    const every = (count: number, total: number): number[][] =>
      count === 1
        ? [[total]]
        : Array.from({ length: total - count + 1 }, (_, at) => at + 1).flatMap((first) =>
            every(count - 1, total - first).map((rest) => [first, ...rest]),
          );
    const largest = (weights: readonly number[], shares: readonly number[]): number =>
      Math.max(...weights.map((weight, at) => weight / (shares[at] as number)));
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 4 }),
        fc.nat(6),
        (w, more) => {
          const total = w.length + more;
          const shares = shareOut(w, total);
          expect(shares.reduce((a, b) => a + b)).toBe(total);
          expect(largest(w, shares)).toBe(Math.min(...every(w.length, total).map((one) => largest(w, one))));
        },
      ),
    );
  });
});

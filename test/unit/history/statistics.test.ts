import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mannKendallP, meanOf, medianOf, theilSenSlope } from "../../../src/history/statistics.ts";

const numbers = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { maxLength: 25 });

describe("mean and median", () => {
  it.each<[readonly number[], number | null, number | null]>([
    [[], null, null],
    [[7], 7, 7],
    [[4, 1], 2.5, 2.5],
    [[10, 2, 6], 6, 6],
    [[1, 1, 1, 97], 25, 1],
    [[100, 9, 20], 43, 20],
  ])("of %o are %s and %s", (values, mean, median) => {
    expect(meanOf(values)).toBe(mean);
    expect(medianOf(values)).toBe(median);
  });
});

describe("the Theil–Sen slope", () => {
  it.each<[readonly number[], number]>([
    [[], 0],
    [[5], 0],
    [[5, 5, 5], 0],
    [[10, 8, 6], -2],
    // Slopes of the pairs: 1 1 33 1 49 97.
    [[1, 2, 3, 100], 17],
    // -1 0 0 1/3 1 1 5/4 4/3 5/2 4.
    [[0, 1, 0, 1, 5], 1],
  ])("of %o is %s", (values, slope) => {
    expect(theilSenSlope(values)).toBeCloseTo(slope, 12);
  });

  it("is that of the line, though two values in ten are wild", () => {
    const values = Array.from({ length: 20 }, (_, at) => 100 + 3 * at);
    for (const at of [2, 7, 13, 19]) values[at] = 100_000;
    expect(theilSenSlope(values)).toBeCloseTo(3, 0);
  });

  it("follows a shift not at all and a stretch in proportion", () => {
    fc.assert(
      fc.property(numbers, fc.integer({ min: -50, max: 50 }), (values, n) => {
        expect(theilSenSlope(values.map((value) => value + n))).toBeCloseTo(theilSenSlope(values), 6);
        expect(theilSenSlope(values.map((value) => value * n))).toBeCloseTo(theilSenSlope(values) * n, 6);
      }),
    );
  });
});

describe("the Mann–Kendall test", () => {
  // S and its variance by hand, p = erfc((|S| - 1) / sqrt(2 Var)) from a table.
  it.each<[string, readonly number[], number]>([
    ["S = 45, Var = 125", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 8.303e-5],
    ["S = 10, Var = 50/3", [1, 2, 3, 4, 5], 0.02749],
    ["S = -10, Var = 50/3", [5, 4, 3, 2, 1], 0.02749],
    ["S = 8, Var = 44/3: two ties", [1, 1, 2, 2, 3], 0.06758],
    ["S = 4, Var = 26/3", [2, 1, 3, 4], 0.30818],
    ["S = 0", [1, 2, 2, 1], 1],
    ["all equal", [3, 3, 3, 3], 1],
    ["one value", [3], 1],
    ["no value", [], 1],
  ])("of %s: %o has p = %s", (_, values, p) => {
    expect(mannKendallP(values)).toBeCloseTo(p, 5);
  });

  it("is the same for a rise and its fall, and between 0 and 1", () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const p = mannKendallP(values);
        expect(p).toBeGreaterThanOrEqual(0);
        expect(p).toBeLessThanOrEqual(1);
        expect(mannKendallP([...values].reverse())).toBeCloseTo(p, 9);
        expect(mannKendallP(values.map((value) => value ** 3))).toBeCloseTo(p, 9);
      }),
    );
  });
});

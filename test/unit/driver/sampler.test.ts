import { describe, expect, it } from "vitest";
import { argmax, sample, uniform } from "../../../src/driver/sampler.ts";

const LOGITS = Float32Array.of(0.5, 3, -1, 2.5, 3, 0);
const DRAWN = { temperature: 1, topK: 0, seed: 11 };
const POSITIONS = Array.from({ length: 4_000 }, (_, position) => position);

describe("the greedy choice", () => {
  it.each<[readonly number[], number]>([
    [[1], 0],
    [[1, 2, 3], 2],
    [[3, 2, 3], 0],
    [[-5, -2, -2], 1],
  ])("of %o is index %d: the first of equals", (values, index) => {
    expect(argmax(values)).toBe(index);
  });

  it("is made at temperature 0, whatever the seed", () => {
    for (const seed of [0, 1, 2 ** 31]) expect(sample(LOGITS, { temperature: 0, topK: 3, seed }, seed)).toBe(1);
  });

  it("is made when only one may be kept", () => {
    for (const position of POSITIONS.slice(0, 50)) expect(sample(LOGITS, { ...DRAWN, topK: 1 }, position)).toBe(1);
  });
});

describe("a draw", () => {
  it("depends on seed and position alone", () => {
    const draws = POSITIONS.slice(0, 100).map((position) => sample(LOGITS, DRAWN, position));
    const backwards = POSITIONS.slice(0, 100)
      .reverse()
      .map((position) => sample(LOGITS, DRAWN, position))
      .reverse();
    expect(backwards).toEqual(draws);
    expect(POSITIONS.slice(0, 100).map((position) => sample(LOGITS, { ...DRAWN, seed: 12 }, position))).not.toEqual(
      draws,
    );
  });

  it.each([
    [1, [1]],
    [2, [1, 4]],
    [3, [1, 3, 4]],
    [100, [0, 1, 2, 3, 4, 5]],
    [0, [0, 1, 2, 3, 4, 5]],
  ])("stays within the %d largest", (topK, allowed) => {
    const seen = new Set(POSITIONS.map((position) => sample(LOGITS, { ...DRAWN, topK }, position)));
    expect([...seen].sort()).toEqual(allowed);
  });

  it("follows the softmax of the logits", () => {
    const counts = new Array<number>(LOGITS.length).fill(0);
    for (const position of POSITIONS) {
      const id = sample(LOGITS, DRAWN, position);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    const weights = [...LOGITS].map(Math.exp);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [id, weight] of weights.entries())
      expect((counts[id] ?? 0) / POSITIONS.length).toBeCloseTo(weight / total, 1);
  });

  it("is not upset by logits whose exponential has no bounds", () => {
    expect(sample([1e30, 0, -1e30], DRAWN, 3)).toBe(0);
    expect(sample([-1e4, -1e4 - 900], DRAWN, 3)).toBe(0);
  });
});

describe("the uniform number", () => {
  it("lies in [0, 1), spreads evenly and does not repeat", () => {
    const numbers = POSITIONS.map((position) => uniform(7, position));
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(numbers.reduce((sum, value) => sum + value, 0) / numbers.length).toBeCloseTo(0.5, 1);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  it.each([-1, 2 ** 32 + 5, 1.5])("takes the odd seed %d", (seed) => {
    const number = uniform(seed, 0);
    expect(number >= 0 && number < 1).toBe(true);
  });
});

import { describe, expect, it } from "vitest";
import { argmax, sample, uniform } from "../../../src/driver/sampler.ts";

const LOGITS = Float32Array.of(0.5, 3, -1, 3, 2.5, -Infinity);
const draws = (options: { temperature: number; topK: number; seed: number }, count = 2_000) =>
  Array.from({ length: count }, (_, position) => sample(LOGITS, options, position));

describe("greedy", () => {
  it("takes the first of the largest", () => {
    expect(argmax(LOGITS)).toBe(1);
    expect(sample(LOGITS, { temperature: 0, topK: 0, seed: 9 }, 4)).toBe(1);
  });
});

describe("sampling", () => {
  it("depends on seed and position alone", () => {
    const options = { temperature: 0.8, topK: 0, seed: 5 };
    expect(draws(options)).toEqual(draws(options));
    expect(draws(options, 50)).not.toEqual(draws({ ...options, seed: 6 }, 50));
  });
  it("draws as often as softmax says", () => {
    const seen = draws({ temperature: 1, topK: 0, seed: 1 }, 20_000);
    const weights = [...LOGITS].map((logit) => Math.exp(logit - 3));
    const sum = weights.reduce((a, b) => a + b);
    for (const [id, weight] of weights.entries())
      expect(seen.filter((drawn) => drawn === id).length / seen.length).toBeCloseTo(weight / sum, 1);
    expect(seen).not.toContain(5);
  });
  it("keeps to the topK largest", () => {
    expect(new Set(draws({ temperature: 5, topK: 3, seed: 2 }))).toEqual(new Set([1, 3, 4]));
    expect(new Set(draws({ temperature: 5, topK: 1, seed: 2 }))).toEqual(new Set([1]));
  });
  it("at a very low temperature is greedy but for equals", () => {
    expect([1, 3]).toEqual(expect.arrayContaining(draws({ temperature: 1e-4, topK: 0, seed: 3 }, 100)));
  });
});

it("uniform numbers lie in [0, 1) and fill it evenly", () => {
  const numbers = Array.from({ length: 10_000 }, (_, position) => uniform(42, position));
  expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...numbers)).toBeLessThan(1);
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = numbers.filter((value) => Math.floor(value * 10) === tenth).length / numbers.length;
    expect(share).toBeCloseTo(0.1, 1);
  }
});

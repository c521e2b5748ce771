import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LateNumber } from "../../../src/base/late-number.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function late() {
  const said: number[] = [];
  return { said, number: new LateNumber((value) => said.push(value), 4, 10) };
}

describe("a number that is told late", () => {
  it("is told once for all growth within the time", () => {
    const { said, number } = late();
    for (const value of [0, 1, 2]) number.grow(value);
    vi.advanceTimersByTime(9);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(said).toEqual([2]);
    vi.advanceTimersByTime(100);
    expect(said).toEqual([2]);
  });
  it("is told at once when it has grown by the step", () => {
    const { said, number } = late();
    for (let value = 0; value < 9; value++) number.grow(value);
    expect(said).toEqual([3, 7]);
    vi.advanceTimersByTime(10);
    expect(said).toEqual([3, 7, 8]);
  });
  it("is not told when something else took it along", () => {
    const { said, number } = late();
    number.grow(1);
    expect(number.goAlong()).toBe(1);
    vi.advanceTimersByTime(100);
    expect(said).toEqual([]);
    number.grow(2);
    number.tell();
    number.tell();
    expect(said).toEqual([2]);
  });
});

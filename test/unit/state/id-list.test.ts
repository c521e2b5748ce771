import { describe, expect, it } from "vitest";
import { appendIds, type IdList, idCount } from "../../../src/state/id-list.ts";
import { Random } from "../random.ts";

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

describe("a list of ids", () => {
  it("is what a plain array would be, whatever is appended where", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      let list: IdList = [];
      let plain: number[] = [];
      for (let step = 0; step < 40; step++) {
        const base = random.below(plain.length + 3);
        const ids = range(1_000 * step, random.below(12));
        const before = structuredClone(list);
        const next = appendIds(list, base, ids);
        expect(list, `seed ${seed}`).toEqual(before);
        list = next;
        plain = [...plain.slice(0, base), ...ids];
        expect([list.flat(), idCount(list)], `seed ${seed}`).toEqual([plain, plain.length]);
      }
    }
  });

  it("that grows by one report after the other is copied a few times, not once a report", () => {
    const REPORTS = 12_500;
    let list: IdList = [];
    let copied = 0;
    for (let report = 0; report < REPORTS; report++) {
      const pieces = new Set(list);
      list = appendIds(list, report * 8, range(report * 8, 8));
      copied += list.length + list.reduce((sum, piece) => sum + (pieces.has(piece) ? 0 : piece.length), 0);
      expect(list.length).toBeLessThan(20);
    }
    expect(idCount(list)).toBe(REPORTS * 8);
    // A plain array would copy REPORTS / 2 times as much as it holds.
    expect(copied).toBeLessThan(40 * REPORTS * 8);
  });
});

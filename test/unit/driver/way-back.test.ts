import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type WaysBackInput, waysBack } from "../../../src/driver/way-back.ts";

type Row = Partial<Omit<WaysBackInput, "stored" | "resets" | "runMs">> & {
  stored?: readonly (readonly number[])[];
  resets?: readonly number[];
  /** Milliseconds of all runs, or of each. */
  runMs?: number | readonly number[];
};

function ways({ stored = [[]], resets = [0], runMs = 10, ...rest }: Row): string[] {
  const input: WaysBackInput = {
    fedAfter: -1,
    acked: 9,
    lastRun: 9,
    restoreMs: 25,
    ...rest,
    stored: stored.map((runs) => new Set(runs)),
    resets: new Set(resets),
    runMs: (run) => (typeof runMs === "number" ? runMs : (runMs[run] ?? 0)),
  };
  return waysBack(input).map(({ run, from, ms }) => `${from} after ${run}: ${ms}`);
}

describe("the cheapest way back", () => {
  it.each<[string, Row, string[]]>([
    [
      "is the newest stored state, when replay is dear",
      { stored: [[3, 7]] },
      ["records after 7: 45", "records after 3: 85", "initial after -1: 100"],
    ],
    [
      "is replay from the start, when reading state is dearer",
      { stored: [[3, 7]], restoreMs: 500 },
      ["initial after -1: 100", "records after 7: 520", "records after 3: 560"],
    ],
    [
      "counts a long prompt for what it took",
      { stored: [[0]], runMs: [400, 1, 1, 1], lastRun: 3, acked: 3 },
      ["records after 0: 28", "initial after -1: 403"],
    ],
    [
      "is replay, when the prompt was short",
      { stored: [[0]], runMs: [4, 1, 1, 1], lastRun: 3, acked: 3 },
      ["initial after -1: 7", "records after 0: 28"],
    ],
    ["needs the state of every stage", { stored: [[3, 7], [3]] }, ["records after 3: 85", "initial after -1: 100"]],
    [
      "is never after what the page has answers for",
      { stored: [[3, 7]], acked: 5 },
      ["records after 3: 85", "initial after -1: 100"],
    ],
    ["is never before what can be fed again", { stored: [[3, 7]], fedAfter: 5 }, ["records after 7: 45"]],
    ["may be exactly where feeding begins", { stored: [[3, 7]], fedAfter: 7 }, ["records after 7: 45"]],
    [
      "reads nothing where the next run starts anew",
      { stored: [[3, 7]], resets: [0, 8] },
      ["initial after 7: 20", "records after 3: 85", "initial after -1: 100"],
    ],
    [
      "is there before a run that has no answer yet",
      { stored: [[3]], resets: [0, 10], lastRun: 11 },
      ["initial after 9: 20", "records after 3: 105", "initial after -1: 120"],
    ],
    [
      "replays no more than may be un-durable, unless nothing else is left",
      { stored: [[95]], runMs: 0.25, acked: 99, lastRun: 99 },
      ["records after 95: 26", "initial after -1: 25"],
    ],
    ["is none, when the feeds are gone and nothing is stored", { fedAfter: 4 }, []],
    ["of a session that has not run is its start", { acked: -1, lastRun: -1, resets: [] }, ["initial after -1: 0"]],
  ])("%s", (_, row, expected) => {
    expect(ways(row)).toEqual(expected);
  });

  it("never costs more than another, and each can be gone", () => {
    const runs = fc.uniqueArray(fc.nat(20));
    fc.assert(
      fc.property(
        fc.tuple(runs, runs),
        runs,
        fc.nat(20),
        fc.nat(20),
        fc.nat(50),
        (stored, resets, acked, fed, restoreMs) => {
          const input: WaysBackInput = {
            stored: stored.map((each) => new Set(each)),
            resets: new Set(resets),
            fedAfter: Math.min(fed, acked),
            acked,
            lastRun: 20,
            restoreMs,
            runMs: (run) => run % 7,
          };
          const found = waysBack(input);
          expect(found.map(({ ms }) => ms)).toEqual(found.map(({ ms }) => ms).sort((a, b) => a - b));
          for (const { run, from } of found) {
            expect(run).toBeGreaterThanOrEqual(input.fedAfter);
            expect(run).toBeLessThanOrEqual(acked);
            expect(from === "initial" ? input.resets.has(run + 1) : input.stored.every((each) => each.has(run))).toBe(
              true,
            );
          }
        },
      ),
    );
  });
});

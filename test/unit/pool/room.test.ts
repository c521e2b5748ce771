import { expect, it } from "vitest";
import { PARKED_BYTES_PER_ORIGIN_MAX as BYTES, PARKED_PER_ORIGIN_MAX as COUNT } from "../../../src/base/limits.ts";
import { overQuota } from "../../../src/pool/room.ts";

/** Sessions named by their age: the first is the oldest. */
const sessions = (...bytes: number[]) => bytes.map((size, at) => ({ sessionId: `${at}`, changedAt: at, bytes: size }));

it.each<[string, ReturnType<typeof sessions>, string[]]>([
  ["nothing", [], []],
  ["what fits to the last byte", sessions(BYTES / 2, BYTES / 2), []],
  ["one byte too many", sessions(BYTES / 2, BYTES / 2, 1), ["0"]],
  ["a small one that is old before a large one that is new", sessions(1, BYTES), ["0"]],
  ["one that is too large by itself", sessions(BYTES + 1), ["0"]],
  ["as many as may be", sessions(...new Array<number>(COUNT).fill(0)), []],
  ["two too many", sessions(...new Array<number>(COUNT + 2).fill(0)), ["0", "1"]],
  ["a list in another order", sessions(BYTES, BYTES).reverse(), ["0"]],
])("of %s the oldest go until the rest fits", (_, kept, gone) => {
  expect(overQuota(kept)).toEqual(gone);
});

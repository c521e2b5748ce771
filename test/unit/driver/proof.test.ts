import { describe, expect, it } from "vitest";
import { RecoveryProof } from "../../../src/driver/proof.ts";

const replayed = () => ({ replayedRuns: 2, restoredRun: 16, restoreMs: 0 });

describe("a recovery is proved", () => {
  it("by the answer of a run that the last stage had not done when all was wired anew", () => {
    const proof = new RecoveryProof();
    proof.stageLost(0, 100);
    proof.wired(20, 25, replayed);
    // Done before the fault; its answer was still on its way.
    expect(proof.answered(20, 150)).toBeNull();
    expect(proof.answered(21, 180)).toEqual([{ stage: 0, ms: 80, replayedRuns: 2, restoredRun: 16, restoreMs: 0 }]);
    expect(proof.answered(22, 190)).toBeNull();
  });
  it("by all that was asked for, where the last stage was lost and nobody knows what it had answered", () => {
    const proof = new RecoveryProof();
    proof.stageLost(1, 0);
    proof.wired(null, 25, replayed);
    expect(proof.answered(24, 1)).toBeNull();
    expect(proof.answered(25, 1)).toHaveLength(1);
  });
  it("at once where nothing was under way", () => {
    const proof = new RecoveryProof();
    proof.stageLost(1, 0);
    proof.wired(25, 25, replayed);
    expect(proof.answered(25, 7)).toEqual([{ stage: 1, ms: 7, replayedRuns: 2, restoredRun: 16, restoreMs: 0 }]);
  });
  it("anew after each wiring, counted from the last loss", () => {
    const proof = new RecoveryProof();
    proof.stageLost(0, 10);
    proof.wired(4, 9, replayed);
    proof.stageLost(0, 20);
    proof.stageLost(1, 20);
    proof.wired(null, 9, replayed);
    expect(proof.answered(8, 50)).toBeNull();
    expect(proof.answered(9, 60)?.map(({ stage, ms }) => [stage, ms])).toEqual([
      [0, 40],
      [1, 40],
    ]);
  });
});

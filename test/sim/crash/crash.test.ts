import "../setup.ts";
import { expect, it } from "vitest";
import { type CrashOutcome, type CrashPoint, crash } from "./crash.ts";

/** Outside of every promise reaction: the simulated loop runs them itself. */
function play(point: CrashPoint | null): Promise<CrashOutcome> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(crash(point));
      } catch (error) {
        reject(error);
      }
    });
  });
}

const KINDS: readonly Omit<CrashPoint, "write">[] = [
  { fate: "throws", death: "nothing" },
  { fate: "throws", death: "extension" },
  { fate: "throws", death: "browser" },
  { fate: "torn", death: "extension" },
  { fate: "torn", death: "browser" },
  { fate: "lost", death: "extension" },
  { fate: "lost", death: "browser" },
];

it.each(KINDS)(
  "a write that $fate, and $death dies: what was durable is there again, and all outputs are the same",
  async (kind) => {
    const { writes, wrong } = await play(null);
    expect(wrong).toEqual([]);
    expect(writes).toBeGreaterThan(50);
    const failures: string[] = [];
    let points = 0;
    for (let write = 1; write <= writes; write++) {
      points++;
      const outcome = await play({ write, ...kind });
      if (outcome.wrong.length > 0) failures.push(`write ${write}: ${outcome.wrong.join("; ")}`);
    }
    console.log(`${points} crash points of ${writes} writes: one ${kind.fate}, ${kind.death} dies`);
    expect(failures).toEqual([]);
  },
  300_000,
);

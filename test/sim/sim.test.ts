import "./setup.ts";
import { expect, it } from "vitest";
import { type Outcome, play } from "./history.ts";
import { planHistory } from "./plan.ts";

/** Outside of every promise reaction: the simulated loop runs them itself. */
function history(seed: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(play(planHistory(seed)));
      } catch (error) {
        reject(error);
      }
    });
  });
}

it("a history is its seed: played twice, it is the same event by event", async () => {
  for (const seed of [1, 2, 3]) {
    const [once, again] = [await history(seed), await history(seed)];
    expect(again.trace).toBe(once.trace);
    expect(again.events).toBe(once.events);
    expect(again.log).toEqual(once.log);
  }
});

it("histories of other seeds are other histories", async () => {
  expect((await history(4)).trace).not.toBe((await history(5)).trace);
});

it("a history is as long as it must be to mean something", async () => {
  for (let seed = 10; seed < 16; seed++) {
    const { events, faults } = await history(seed);
    expect(events).toBeGreaterThanOrEqual(200);
    expect(faults).toBeGreaterThanOrEqual(3);
    expect(planHistory(seed).slots.length).toBeGreaterThanOrEqual(2);
  }
});

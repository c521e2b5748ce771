import { expect, it } from "vitest";
import { CHECKPOINT_EVERY_RUNS, CHECKPOINT_REPLAY_MS } from "../../../src/base/limits.ts";
import { everyRuns, type PaceInput } from "../../../src/driver/pace.ts";

it.each<[Omit<PaceInput, "replayMs"> & Partial<PaceInput>, number, string]>([
  [{ intervalMs: 60_000, runMs: 0 }, CHECKPOINT_EVERY_RUNS, "what was never measured goes by the number of runs"],
  [{ intervalMs: 60_000, runMs: 20 }, CHECKPOINT_EVERY_RUNS, "quick runs go by their number"],
  [{ intervalMs: 60_000, runMs: CHECKPOINT_REPLAY_MS / 4 }, 4, "slow ones by the time that their replay would take"],
  [{ intervalMs: 60_000, runMs: 10 * CHECKPOINT_REPLAY_MS }, 1, "and the slowest one by one"],
  [{ intervalMs: 60_000, runMs: 50, replayMs: 200 }, 4, "a standby has less to do again"],
  [{ intervalMs: 100, runMs: 20 }, 5, "a short interval goes before"],
  [{ intervalMs: 100, runMs: 30 }, 3, "and is never exceeded"],
  [{ intervalMs: 0, runMs: 0 }, 1, "none at all means every run"],
])("%o gives %i: %s", (input, every) => {
  expect(everyRuns({ replayMs: CHECKPOINT_REPLAY_MS, ...input })).toBe(every);
});

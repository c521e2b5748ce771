import { describe, expect, it } from "vitest";
import { RESEND_RUNS_MAX } from "../../../src/base/limits.ts";
import { RunDigests } from "../../../src/driver/run-digests.ts";
import { playHistory } from "./world/history.ts";
import { BAD_ID, Reference } from "./world/model.ts";
import { World } from "./world/world.ts";

describe("a stage that was brought back", () => {
  it.each([0, 1, 2])(
    "and does its runs again otherwise is not taken for recovered, but replaced: stage %i",
    async (row) => {
      const world = new World(11, { stages: 3 });
      const reference = new Reference(3);
      await world.open();
      for (let run = 0; run < 30; run++)
        expect(await world.run([run % 11], run === 0)).toEqual(reference.run([run % 11], run === 0));
      world.liesAlways = row;
      await world.kill(row);
      // Nothing is asked for: what it is tried with are runs whose answers are known.
      while (world.outvoted.length === 0) await new Promise(setImmediate);
      world.liesAlways = null;
      expect(world.outvoted[0]).toMatchObject({ row });
      expect(world.outvoted[0]?.run).toBeLessThan(30);
      for (let run = 30; run < 40; run++)
        expect(await world.run([run % 11], false)).toEqual(reference.run([run % 11], false));
      world.close();
    },
  );

  it.each([1, 2, 3])(
    "in %i stages is never accused when it does them as before, whatever else fails",
    async (stages) => {
      for (let seed = 1; seed <= 12; seed++) {
        const world = await playHistory(seed, {
          stages,
          kills: 4,
          duplicates: 0.1,
          bridgeLosses: 1,
          badId: BAD_ID,
          branches: seed % 2 === 0,
        });
        expect(world.outvoted, `seed ${seed}`).toEqual([]);
      }
    },
  );
});

describe("digests of runs", () => {
  it("are compared by stage and run, and forgotten from a run on that failed", () => {
    const digests = new RunDigests();
    expect([digests.agrees(0, 1, "a"), digests.agrees(0, 1, "a"), digests.agrees(0, 1, "b")]).toEqual([
      true,
      true,
      false,
    ]);
    expect([digests.agrees(1, 1, "b"), digests.agrees(0, 2, "c")]).toEqual([true, true]);
    digests.failed(2);
    expect([digests.agrees(1, 2, "d"), digests.agrees(1, 1, "a")]).toEqual([true, false]);
  });
  it("accuse a stage once, and then begin anew", () => {
    const digests = new RunDigests();
    digests.agrees(0, 1, "a");
    digests.agrees(0, 2, "b");
    expect([digests.agrees(0, 1, "x"), digests.agrees(0, 1, "y"), digests.agrees(0, 2, "z")]).toEqual([
      false,
      true,
      true,
    ]);
  });
  it("are kept of so many runs as may be done again", () => {
    const digests = new RunDigests();
    for (let run = 0; run <= RESEND_RUNS_MAX; run++) digests.agrees(0, run, "a");
    expect([digests.agrees(0, 1, "a"), digests.agrees(0, 0, "b")]).toEqual([true, true]);
  });
});

import { afterAll, describe, expect, it } from "vitest";
import { SHARDING_STRATEGIES } from "../../../src/shard/types.ts";
import { Matrix } from "./matrix.ts";
import { REAL } from "./matrix-models.ts";

const table: Record<string, Record<string, number>> = {};
afterAll(() => console.table(table));

describe.each(Object.entries(REAL))("%s", (name, { shardsMax, model }) => {
  const matrix = new Matrix(model());
  afterAll(() => matrix.close());

  it(`can be cut into ${shardsMax} shards`, () => {
    const plan = matrix.plan({ shards: 1 });
    table[name] = { shardsMax: plan.shardsMax };
    expect(plan.shardsMax).toBeGreaterThanOrEqual(shardsMax);
  });

  it("cut at every legal place gives the bits of the whole model", async () => {
    table[name] = { ...table[name], cuts: await matrix.checkEveryCut() };
  }, 300_000);

  it.each(SHARDING_STRATEGIES.map((strategy, i) => [strategy, i] as const))(
    "%s gives the bits of the whole model",
    async (strategy, offset) => {
      await matrix.check(strategy, offset);
      table[name] = { ...table[name], "plans executed": matrix.executed };
    },
    600_000,
  );
});

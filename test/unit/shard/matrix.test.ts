import { afterAll, describe, expect, it } from "vitest";
import { SHARDING_STRATEGIES } from "../../../src/shard/types.ts";
import { Matrix } from "./matrix.ts";
import { REAL } from "./matrix-models.ts";

const table: Record<string, { shardsMax: number; "plans executed": number }> = {};
afterAll(() => console.table(table));

describe.each(Object.entries(REAL))("%s", (name, { shardsMax, model }) => {
  const matrix = new Matrix(model());
  afterAll(() => matrix.close());

  it(`can be cut into ${shardsMax} shards`, () => {
    const plan = matrix.plan({ shards: 1 });
    table[name] = { shardsMax: plan.shardsMax, "plans executed": 0 };
    expect(plan.shardsMax).toBeGreaterThanOrEqual(shardsMax);
  });

  it.each(SHARDING_STRATEGIES.map((strategy, i) => [strategy, i] as const).slice(0, 1))(
    "%s gives the bits of the whole model",
    async (strategy, offset) => {
      await matrix.check(strategy, offset);
      table[name] = { shardsMax: matrix.plan({ shards: 1 }).shardsMax, "plans executed": matrix.executed };
    },
    600_000,
  );
});

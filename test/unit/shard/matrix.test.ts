import { afterAll, describe, expect, it } from "vitest";
import { SHARDING_STRATEGIES } from "../../../src/shard/types.ts";
import { Matrix } from "./matrix.ts";
import { AUDIO, REAL, WAKE_WORD_LINKS } from "./matrix-models.ts";
import { expectSame, Pipeline, type Tensors, wholeSession } from "./pipeline.ts";

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

const CHAIN = ["openWakeWord mel", "openWakeWord embedding", "openWakeWord alexa"] as const;

describe("the chain of openWakeWord's three models", () => {
  /** Runs the three, what one makes being the next one's feed. */
  const through = async (run: (index: number, feeds: Tensors) => Promise<Tensors>): Promise<Tensors[]> => {
    const all: Tensors[] = [];
    let feeds: Tensors = { input: AUDIO };
    for (const [index] of CHAIN.entries()) {
      const made = await run(index, feeds);
      all.push(made);
      const [tensor] = Object.values(made);
      const link = WAKE_WORD_LINKS[index];
      if (tensor !== undefined && link !== undefined) feeds = link(tensor);
    }
    return all;
  };
  const models = CHAIN.map((name) => REAL[name].model());

  it.each([1, 2, 3, 8])("with each cut into up to %i shards gives the same bits at every joint", async (most) => {
    const whole = await through(async (index, feeds) => {
      const session = await wholeSession(models[index]?.files ?? new Map());
      const made = await session.run(feeds);
      await session.release();
      return made;
    });
    const parts = await through(async (index, feeds) => {
      const { files } = models[index] ?? { files: new Map() };
      const { skeleton, plan } = planned(index, most);
      const pipeline = await Pipeline.open(skeleton, plan, files);
      const made = await pipeline.run(feeds);
      await pipeline.close();
      return made;
    });
    for (const [index, expected] of whole.entries()) expectSame(parts[index] ?? {}, expected);
  });

  function planned(index: number, most: number): Pick<Matrix, "skeleton"> & { plan: ReturnType<Matrix["plan"]> } {
    const matrix = new Matrix(models[index] ?? { files: new Map(), steps: [] });
    const { shardsMax } = matrix.plan({ shards: 1 });
    return { skeleton: matrix.skeleton, plan: matrix.plan({ shards: Math.min(most, shardsMax) }) };
  }
});

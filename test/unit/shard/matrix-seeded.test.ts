import { afterAll, describe, expect, it } from "vitest";
import { planShards } from "../../../src/shard/plan.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { SHARDING_STRATEGIES } from "../../../src/shard/types.ts";
import { bytesOf, DTYPES } from "../../models/generate/index.ts";
import { Matrix } from "./matrix.ts";
import { matrixModel, partsOf, SEEDED } from "./matrix-seeded.ts";
import { readerOf } from "./models.ts";

const IS_LONG = process.env["HOLDFAST_LONG"] === "1";
/** Four layers can be cut into eight shards and more; two hold every kind of cut that four do. */
const LAYERS = 4;
const LAYERS_EXECUTED = IS_LONG ? LAYERS : 2;

/** Into how many shards a model of four layers can be cut, by dtype in the order of DTYPES: fp32, fp16, QDQ, dynamic, int4, int4-fp16. */
const LEGAL_SHARDS: Readonly<Record<string, readonly number[]>> = {
  "llama plain": [10, 10, 10, 10, 10, 10],
  "llama fused": [18, 18, 18, 18, 18, 18],
  bert: [9, 9, 11, 11, 11, 11],
  vit: [11, 11, 10, 11, 11, 11],
  "whisper one": [12, 11, 12, 12, 12, 11],
  "whisper two encoder": [11, 11, 11, 11, 11, 11],
  "whisper two decoder": [1, 1, 1, 1, 1, 1],
  "t5 one": [3, 1, 4, 4, 4, 4],
  "t5 two encoder": [12, 12, 11, 11, 11, 11],
  "t5 two decoder": [1, 1, 1, 1, 1, 1],
  clip: [13, 1, 13, 13, 13, 1],
  clap: [23, 1, 23, 23, 24, 1],
};

const table: Record<string, Record<string, unknown>> = {};
afterAll(() => console.table(table));

describe.each(SEEDED.map((options, i) => ({ options, i })))("seeded %j", ({ options, i }) => {
  it("can be cut into as many shards as the table says, or says why not", () => {
    for (const { name, part } of partsOf(options, LAYERS)) {
      const [file] = part.files;
      const { shardsMax, reason } = planShards(
        readSkeleton(readerOf(file === undefined ? new Uint8Array() : bytesOf(file))),
      );
      table[`${name} ${options.dtype}`] = { "legal shards": shardsMax };
      expect(Object.keys(LEGAL_SHARDS)).toContain(name);
      if (shardsMax === 1) expect(reason).toMatch(/runs whole: (it rounds to 16 bits|its work is inside one If node)/);
      expect(shardsMax, name).toBeGreaterThanOrEqual(
        LEGAL_SHARDS[name]?.[DTYPES.indexOf(options.dtype ?? "fp32")] ?? 1,
      );
    }
  });

  it("gives the bits of the whole model, cut at every legal place at once and by every strategy", async () => {
    for (const { name, part } of partsOf(options, LAYERS_EXECUTED)) {
      const matrix = new Matrix(matrixModel(part));
      const cuts = await matrix.checkEveryCut();
      const strategies = IS_LONG
        ? SHARDING_STRATEGIES
        : SHARDING_STRATEGIES.slice(i % SHARDING_STRATEGIES.length).slice(0, 1);
      for (const [at, strategy] of strategies.entries()) await matrix.check(strategy, at);
      table[`${name} ${options.dtype}`] = {
        ...table[`${name} ${options.dtype}`],
        cuts,
        "plans executed": matrix.executed,
      };
      await matrix.close();
    }
  }, 300_000);
});

import { afterAll, describe, expect, it } from "vitest";
import {
  DTYPES,
  FAMILIES,
  type GeneratedPart,
  type GenerateOptions,
  generate,
  inMemory,
} from "../../models/generate/index.ts";
import { tensorsOf } from "../models/run.ts";
import { Matrix, type MatrixModel } from "./matrix.ts";
import { offeredStrategies } from "./offered.ts";
import { pick, type Tensors } from "./pipeline.ts";

/** The forms that a family comes in. */
const FORMS: Readonly<Record<string, readonly Partial<GenerateOptions>[]>> = {
  llama: [{ variant: "plain" }, { variant: "fused" }],
  whisper: [{ form: "one" }, { form: "two" }],
  t5: [{ form: "one" }, { form: "two" }, { form: "two", crossCache: "empty" }],
};
const CASES = FAMILIES.flatMap((family) =>
  (FORMS[family] ?? [{}]).flatMap((form) => DTYPES.map((dtype): GenerateOptions => ({ family, dtype, ...form }))),
);
const PROMPT = 5;
/** Large enough that each layer's weights are more than what stays inline in a shard's graph, at four bits too. */
const SIZE = { hidden: 64, intermediate: 128, layers: 4 };

/** A sequence's first run and two that follow it, its state carried on. */
function matrixModel(part: GeneratedPart): MatrixModel {
  const state = Object.keys(part.stateBindings);
  const first = tensorsOf(part.feeds("first", { length: PROMPT }));
  const rest = Object.keys(first).filter((name) => !state.includes(name));
  const next = (past: number): Tensors => tensorsOf(part.feeds("next", { length: PROMPT, past }));
  const steps = [pick(first, rest), ...(state.length > 0 ? [next(PROMPT), next(PROMPT + 1)] : [])];
  return { files: inMemory(part), steps, initial: pick(first, state) };
}

const table: Record<string, Record<string, unknown>> = {};
afterAll(() => console.table(table));

describe.each(CASES)("seeded $family $variant $form $dtype", (options) => {
  it("gives the bits of the whole model by every strategy", async () => {
    for (const part of generate({ ...options, ...SIZE }).parts) {
      const matrix = new Matrix(matrixModel(part));
      const { shardsMax } = matrix.plan({ shards: 1 });
      const name = [options.family, options.variant, options.form, part.role, options.dtype].filter(Boolean).join(" ");
      const cuts = await matrix.checkEveryCut();
      for (const [i, strategy] of offeredStrategies(matrix.skeleton).entries()) await matrix.check(strategy, i);
      table[name] = { shardsMax, cuts, "plans executed": matrix.executed };
      await matrix.close();
      // Two towers in halves are rounded in ways that depend on the whole graph: they run whole, and say so.
      const staysWhole = ["clip", "clap"].includes(options.family) && options.dtype?.endsWith("fp16");
      if (staysWhole) expect(matrix.plan({ shards: 1 }).reason).toMatch(/runs whole: it rounds to 16 bits/);
      else expect(shardsMax).toBeGreaterThan(1);
    }
  }, 300_000);
});

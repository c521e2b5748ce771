import {
  DTYPES,
  FAMILIES,
  type GeneratedPart,
  type GenerateOptions,
  generate,
  inMemory,
} from "../../models/generate/index.ts";
import { tensorsOf } from "../models/run.ts";
import type { MatrixModel } from "./matrix.ts";
import { pick, type Tensors } from "./pipeline.ts";

/** The forms that a family comes in. */
const FORMS: Readonly<Record<string, readonly Partial<GenerateOptions>[]>> = {
  llama: [{ variant: "plain" }, { variant: "fused" }],
  whisper: [{ form: "one" }, { form: "two" }],
  t5: [{ form: "one" }, { form: "two" }],
};

/** Every generated family, form and dtype. */
export const SEEDED = FAMILIES.flatMap((family) =>
  (FORMS[family] ?? [{}]).flatMap((form) => DTYPES.map((dtype): GenerateOptions => ({ family, dtype, ...form }))),
);

/** Large enough that each layer's weights are more than what stays inline in a shard's graph, at four bits too. */
const SIZE = { hidden: 64, intermediate: 128 };
const PROMPT = 5;

export interface SeededPart {
  readonly name: string;
  readonly part: GeneratedPart;
}

export function partsOf(options: GenerateOptions, layers: number): SeededPart[] {
  return generate({ ...options, ...SIZE, layers, otherLayers: layers }).parts.map((part) => {
    const words = [options.family, options.variant ?? options.form, part.role === "model" ? undefined : part.role];
    return { name: words.filter(Boolean).join(" "), part };
  });
}

/** A sequence's first run and two that follow it, its state carried on. */
export function matrixModel(part: GeneratedPart): MatrixModel {
  const state = Object.keys(part.stateBindings);
  const first = tensorsOf(part.feeds("first", { length: PROMPT }));
  const rest = Object.keys(first).filter((name) => !state.includes(name));
  const next = (past: number): Tensors => tensorsOf(part.feeds("next", { length: PROMPT, past }));
  const steps = [pick(first, rest), ...(state.length > 0 ? [next(PROMPT), next(PROMPT + 1)] : [])];
  return { files: inMemory(part), steps, initial: pick(first, state) };
}

import { describe, expect, it } from "vitest";
import { DTYPES, FAMILIES, type GenerateOptions, generate } from "../../models/generate/index.ts";
import type { GeneratedPart } from "../../models/generate/model.ts";
import type { Tensors } from "../shard/pipeline.ts";
import { numbersOf, sessionOf, stateOf, tensorsOf } from "./run.ts";

/** The forms that a family has. */
const FORMS: Readonly<Record<string, readonly Partial<GenerateOptions>[]>> = {
  llama: [{ variant: "plain" }, { variant: "fused" }],
  whisper: [{ form: "one" }, { form: "two" }],
  t5: [{ form: "one" }, { form: "two" }],
};
const CASES = FAMILIES.flatMap((family) => (FORMS[family] ?? [{}]).map((form) => ({ family, ...form })));

/** How far from the fp32 model's outputs those of one layer may be, next to their own size. */
const ERROR_MAX = { fp32: 0, fp16: 0.01, "int8-qdq": 0.3, "int8-dynamic": 0.2, int4: 0.6, "int4-fp16": 0.6 } as const;

describe.each(CASES)("a generated $family $variant $form", (options) => {
  const exact = new Map<string, Tensors>();

  it.each(DTYPES)("in %s runs, depends on its feeds, and computes what fp32 does", async (dtype) => {
    const externalFiles = DTYPES.indexOf(dtype) % 3;
    const size = { layers: 1, otherLayers: 1, hidden: 32, heads: 4 };
    const { parts } = generate({ ...options, dtype, ...size, externalFiles });
    for (const part of parts) {
      const { first, other, next } = await runs(part);
      for (const outputs of [first, other, next]) expectAlive(outputs);
      expectDifferent(first, other);
      if (dtype === "fp32") exact.set(part.role, first);
      expectNear(first, exact.get(part.role) ?? {}, ERROR_MAX[dtype]);
    }
  });

  it("of eight layers is below 1 MB and does not fade or grow", async () => {
    for (const dtype of DTYPES) {
      const files = generate({ ...options, dtype }).parts.map((part) => part.files);
      for (const [file] of files) expect(file?.bytes).toBeLessThan(1e6);
    }
    for (const part of generate(options).parts) {
      const { first, other } = await runs(part);
      expectAlive(first);
      expectDifferent(first, other);
    }
  });
});

async function runs(part: GeneratedPart): Promise<Readonly<Record<"first" | "other" | "next", Tensors>>> {
  const session = await sessionOf(part);
  try {
    const first = await session.run(tensorsOf(part.feeds("first")));
    const other = await session.run(tensorsOf(part.feeds("first", { seed: 2 })));
    const next = await session.run({ ...tensorsOf(part.feeds("next")), ...stateOf(part, first) });
    return { first, other, next };
  } finally {
    await session.release();
  }
}

/** Finite, and neither zero nor the same everywhere, nor large. */
function expectAlive(outputs: Tensors): void {
  for (const [name, tensor] of Object.entries(outputs)) {
    const numbers = numbersOf(tensor);
    const largest = numbers.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    expect(numbers.every(Number.isFinite), name).toBe(true);
    expect(largest, name).toBeGreaterThan(0.01);
    expect(largest, name).toBeLessThan(50);
    expect(new Set(numbers).size, name).toBeGreaterThan(1);
  }
}

function expectDifferent(one: Tensors, other: Tensors): void {
  for (const [name, tensor] of Object.entries(one)) {
    expect(numbersOf(tensor), name).not.toEqual(numbersOf(other[name]));
  }
}

function expectNear(outputs: Tensors, exact: Tensors, errorMax: number): void {
  expect(Object.keys(outputs)).toEqual(Object.keys(exact));
  // A product of two towers' unit vectors may be near zero, whatever the towers agree on.
  for (const [name, tensor] of Object.entries(outputs).filter(([name]) => !name.startsWith("logits_per_"))) {
    const [ours, theirs] = [numbersOf(tensor), numbersOf(exact[name])];
    expect(size(ours.map((x, i) => x - (theirs[i] ?? 0))) / size(theirs), name).toBeLessThanOrEqual(errorMax);
  }
}

function size(numbers: Float32Array): number {
  return Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0));
}

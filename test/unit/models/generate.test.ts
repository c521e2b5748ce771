import { describe, expect, it } from "vitest";
import { DTYPES, FAMILIES, type GenerateOptions, generate } from "../../models/generate/index.ts";
import { numbersOf, sessionOf, stateOf, type Tensors, tensorsOf } from "./run.ts";

const FORMS: Readonly<Record<string, readonly Partial<GenerateOptions>[]>> = {
  llama: [{ variant: "plain" }, { variant: "fused" }],
};

const CASES = FAMILIES.flatMap((family) =>
  (FORMS[family] ?? [{}]).flatMap((form) => DTYPES.map((dtype): GenerateOptions => ({ family, dtype, ...form }))),
);

describe.each(CASES)("generated $family $dtype $variant $form", (options) => {
  it("runs, is finite, and depends on its feeds", async () => {
    for (const part of generate(options).parts) {
      expect(part.files.reduce((sum, file) => sum + file.bytes, 0)).toBeLessThan(1e6);
      const session = await sessionOf(part);
      const first = await session.run(tensorsOf(part.feeds("first")));
      const other = await session.run(tensorsOf(part.feeds("first", { seed: 2 })));
      expectAlive(first);
      expectDifferent(first, other);
      const next = await session.run({ ...tensorsOf(part.feeds("next")), ...stateOf(part, first) });
      expectAlive(next);
      await session.release();
    }
  });
});

/** Finite, and neither zero nor the same everywhere, nor grown with the layers. */
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

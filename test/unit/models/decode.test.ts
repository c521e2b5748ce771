import { describe, expect, it } from "vitest";
import { type GenerateOptions, generate } from "../../models/generate/index.ts";
import { numbersOf, sessionOf, stateOf, tensorsOf } from "./run.ts";

/** fp32 sums in another order. */
const TOLERANCE = 1e-4;
const SMALL = { layers: 2, otherLayers: 2 } as const;
const DECODERS: readonly GenerateOptions[] = [
  { family: "llama", variant: "plain" },
  { family: "llama", variant: "plain", tied: true },
  { family: "llama", variant: "fused" },
  { family: "whisper", form: "two" },
  { family: "t5", form: "two" },
];

describe("a generated decoder with a cache", () => {
  it.each(DECODERS)(
    "of $family $variant $form tied $tied gives token by token what it gives at once",
    async (options) => {
      const part = generate({ ...options, ...SMALL }).parts.at(-1);
      if (part === undefined) throw new Error("no part");
      const session = await sessionOf(part);
      const whole = await session.run(tensorsOf(part.feeds("first", { length: 6 })));
      const fixed =
        part.links === undefined ? {} : pickLinked(part.feeds("first", { length: 6 }), Object.keys(part.links));
      let last = await session.run(tensorsOf({ ...part.feeds("first", { length: 4 }), ...fixed }));
      for (const past of [4, 5]) {
        const feeds = { ...part.feeds("next", { length: 6, past }), ...fixed };
        last = await session.run({ ...tensorsOf(feeds), ...stateOf(part, last) });
      }
      const [all, stepped] = [numbersOf(whole.logits), numbersOf(last.logits)];
      expect(stepped.length).toBe(all.length / 6);
      expectClose(stepped, all.subarray(-stepped.length));
      for (const output of Object.values(part.stateBindings))
        expectClose(numbersOf(last[output]), numbersOf(whole[output]));
      await session.release();
    },
  );

  it.each(["whisper", "t5"] as const)(
    "of %s can keep the encoder's part to the first run, as real exports do",
    async (family) => {
      const logits = async (crossCache: "passed" | "empty"): Promise<Float32Array> => {
        const part = generate({ family, form: "two", crossCache, layers: 1 }).parts.at(-1);
        if (part === undefined) throw new Error("no part");
        const session = await sessionOf(part);
        const first = await session.run(tensorsOf(part.feeds("first")));
        const once = Object.entries(first).filter(([name]) => name.includes(".encoder."));
        const crossing = Object.fromEntries(
          once.map(([name, tensor]) => [name.replace("present", "past_key_values"), tensor]),
        );
        let last = first;
        for (const past of [5, 6]) {
          const state = { ...crossing, ...stateOf(part, last) };
          last = await session.run({ ...tensorsOf(part.feeds("next", { past })), ...state });
        }
        const isEmpty = crossCache === "empty";
        expect(last["present.0.encoder.key"]?.size === 0).toBe(isEmpty);
        expect("past_key_values.0.encoder.key" in part.stateBindings).toBe(!isEmpty);
        await session.release();
        return numbersOf(last.logits);
      };
      expect(await logits("empty")).toEqual(await logits("passed"));
    },
  );

  it("computes the same with plain and with fused operators", async () => {
    const logits = async (variant: "plain" | "fused"): Promise<Float32Array> => {
      const [part] = generate({ family: "llama", variant, layers: 2, headDim: 16 }).parts;
      if (part === undefined) throw new Error("no part");
      const session = await sessionOf(part);
      const first = await session.run(tensorsOf(part.feeds("first", { batch: 2 })));
      const next = await session.run({ ...tensorsOf(part.feeds("next", { batch: 2 })), ...stateOf(part, first) });
      await session.release();
      return numbersOf(next.logits);
    };
    expectClose(await logits("fused"), await logits("plain"));
  });
});

function pickLinked<T>(feeds: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(
    Object.entries(feeds).filter(([name]) => names.includes(name) || name.startsWith("encoder_")),
  );
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const worst = actual.reduce((max, x, index) => Math.max(max, Math.abs(x - (expected[index] ?? 0))), 0);
  expect(worst).toBeLessThan(TOLERANCE);
}

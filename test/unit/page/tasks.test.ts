import type { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import type { Session } from "../../../src/page/session.ts";
import { infer, textFeeds } from "../../../src/page/tasks.ts";
import type { ValueSpec } from "../../../src/shard/types.ts";

const ENCODED = { ids: [101, 7, 8, 102], attentionMask: [1, 1, 1, 1], tokenTypeIds: [0, 0, 0, 0] };
const input = (name: string, type: ValueSpec["type"] = "int64"): ValueSpec => ({ name, type, dims: [1, "n"] });
const values = (tensor: Tensor | undefined) => Array.from((tensor?.data ?? []) as BigInt64Array, Number);

/** A session that says what it was asked for. */
function fake(inputs: readonly ValueSpec[], stateInputs: readonly string[] = []) {
  const asked: unknown[] = [];
  const session = {
    inputs,
    plan: { stateInputs },
    run: async (feeds: Readonly<Record<string, unknown>>, options: unknown) => {
      asked.push({ run: Object.keys(feeds), options });
      return {};
    },
    generate: async function* (prompt: string, options: unknown) {
      asked.push({ prompt, options });
      yield { index: 0, id: 5, text: "a" };
      yield { index: 1, id: 6, text: "b" };
    },
  } as unknown as Session;
  return { session, asked };
}
const encode = async () => ENCODED;
const BERT = [input("input_ids"), input("attention_mask"), input("token_type_ids")];

describe("the feeds of a text", () => {
  it("are what the model's inputs ask for, in their types", () => {
    const all = textFeeds(ENCODED, {
      inputs: [...BERT, input("position_ids", "int32"), input("pixel_values", "float32")],
    });
    expect(Object.keys(all)).toEqual(["input_ids", "attention_mask", "token_type_ids", "position_ids"]);
    expect(values(all["input_ids"])).toEqual([101, 7, 8, 102]);
    expect(values(all["position_ids"])).toEqual([0, 1, 2, 3]);
    expect(all["input_ids"]).toMatchObject({ type: "int64", dims: [1, 4] });
    expect(all["position_ids"]).toMatchObject({ type: "int32", dims: [1, 4] });
    expect(Object.keys(textFeeds(ENCODED, { inputs: [input("input_ids")] }))).toEqual(["input_ids"]);
  });
});

describe("a text by its model's task", () => {
  it.each(["feature-extraction", "text-classification", "fill-mask", "token-classification"])(
    "%s: feeds",
    async (task) => {
      const { session, asked } = fake(BERT);
      await infer(session, { text: "Example input" }, task, encode);
      expect(asked).toEqual([{ run: ["input_ids", "attention_mask", "token_type_ids"], options: { reset: true } }]);
    },
  );

  it("text-generation: is continued, with the options of a generation", async () => {
    const { session, asked } = fake([input("input_ids")], ["past_key_values.0.key"]);
    const options = { maxNewTokens: 2, seed: 3 };
    expect(await infer(session, { inputText: "Call me" }, "text-generation", encode, options)).toEqual({
      outputs: {},
      text: "ab",
      ids: [5, 6],
    });
    expect(asked).toEqual([{ prompt: "Call me", options }]);
  });

  it("without a task: a model that keeps state generates, another is fed", async () => {
    const stateful = fake([input("input_ids")], ["past_key_values.0.key"]);
    expect((await infer(stateful.session, { text: "x" }, null, encode)).text).toBe("ab");
    const stateless = fake(BERT);
    expect((await infer(stateless.session, { text: "x" }, null, encode)).text).toBeNull();
  });

  it("goes with tensors for what tokens do not give", async () => {
    const { session, asked } = fake([...BERT, input("pixel_values", "float32")]);
    const pixels = { type: "float32", dims: [1], data: new Float32Array(1) };
    await infer(session, { text: "a cat", pixel_values: pixels }, "feature-extraction", encode);
    expect(asked).toMatchObject([{ run: ["input_ids", "attention_mask", "token_type_ids", "pixel_values"] }]);
  });

  it("is not needed: tensors are run as they are, state going on", async () => {
    const { session, asked } = fake([input("x", "float32")]);
    await infer(session, { x: { type: "float32", dims: [1], data: new Float32Array(1) } }, "text-generation", encode);
    expect(asked).toEqual([{ run: ["x"], options: {} }]);
  });

  it.each([
    ["a task that takes no text", { text: "x" }, "image-classification", "BAD_OPTIONS"],
    ["a task named like a property of every object", { text: "x" }, "constructor", "BAD_OPTIONS"],
    ["two texts", { text: "x", inputText: "y" }, null, "BAD_FEEDS"],
    ["a text for another input", { input_ids: "x" }, null, "BAD_FEEDS"],
    [
      "a generation with tensors",
      { text: "x", y: { type: "bool", dims: [], data: [] } },
      "text-generation",
      "BAD_FEEDS",
    ],
  ])("%s is refused", async (_, inputs, task, code) => {
    await expect(infer(fake(BERT).session, inputs, task, encode)).rejects.toMatchObject({ code });
  });
});

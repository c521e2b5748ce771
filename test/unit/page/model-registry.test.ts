import { describe, expect, it } from "vitest";
import { MODELS_REGISTERED_MAX } from "../../../src/base/limits.ts";
import { type ModelOptions, ModelRegistry } from "../../../src/page/model-registry.ts";
import type { ModelSource } from "../../../src/page/source.ts";

const URL_OF_MODEL = "/models/moby.onnx";
const badOptions = (pattern: RegExp) =>
  expect.objectContaining({ name: "HoldfastError", code: "BAD_OPTIONS", message: expect.stringMatching(pattern) });

describe("a registered model", () => {
  it("is found by its name, with its task and tokenizer", () => {
    const registry = new ModelRegistry();
    const tokenizer = { json: {}, config: {} };
    registry.register("moby", URL_OF_MODEL, { task: "text-generation", tokenizer });
    expect(registry.find("moby")).toEqual({ name: "moby", source: URL_OF_MODEL, task: "text-generation", tokenizer });
  });

  it.each<[string, ModelSource]>([
    ["a URL", new URL("https://site.example/m.onnx")],
    ["bytes", new Uint8Array(4)],
    ["a buffer", new ArrayBuffer(4)],
    ["graph and external data", { graph: "/m.onnx", externalData: { "m.onnx_data": "/m.onnx_data" } }],
    ["what looks like another name", "org/repo"],
  ])("may be %s", (_, source) => {
    const registry = new ModelRegistry();
    registry.register("m", source);
    expect(registry.find("m")).toEqual({ name: "m", source, task: null, tokenizer: null });
  });

  it("is the last of its name", () => {
    const registry = new ModelRegistry();
    registry.register("m", "/a.onnx", { task: "fill-mask" });
    registry.register("m", "/b.onnx");
    expect(registry.find("m")).toMatchObject({ source: "/b.onnx", task: null });
  });

  it("is no other: what is not registered stays what it was, whatever objects inherit", () => {
    const registry = new ModelRegistry();
    registry.register("moby", URL_OF_MODEL);
    for (const model of ["mob", "moby/", "/moby", "constructor", "__proto__", "org/moby", new URL("https://moby")])
      expect(registry.find(model)).toBeNull();
  });
});

describe("a name", () => {
  it.each(["llama-13b", "bert-base-uncased", "Xenova/whisper-tiny.en", "m", "a/b/c", "qwen2.5@q4", "0"])(
    "may be %s",
    (name) => {
      const registry = new ModelRegistry();
      registry.register(name, URL_OF_MODEL);
      expect(registry.find(name)?.source).toBe(URL_OF_MODEL);
    },
  );

  it.each<[unknown]>([
    [""],
    [" "],
    ["/models/m.onnx"],
    ["./m.onnx"],
    ["../m.onnx"],
    ["org/../m"],
    ["org/."],
    ["https://site.example/m.onnx"],
    ["data:,x"],
    ["blob:https://x/1"],
    ["a b"],
    ["a\nb"],
    ["org//repo"],
    ["org/"],
    ["m?x=1"],
    ["m#x"],
    ["x".repeat(201)],
    [null],
    [undefined],
    [7],
    [{}],
  ])("may not be %o", (name) => {
    expect(() => new ModelRegistry().register(name as string, URL_OF_MODEL)).toThrow(badOptions(/no name for a model/));
  });
});

describe("bad options", () => {
  it.each<[unknown]>([[""], ["  "], [null], [undefined], [0], [true], [() => URL_OF_MODEL]])(
    "are a source that is %o",
    (source) => {
      expect(() => new ModelRegistry().register("m", source as ModelSource)).toThrow(badOptions(/source of m/));
    },
  );

  it.each<[unknown, RegExp]>([
    [null, /options of m/],
    ["text-generation", /options of m/],
    [{ task: "" }, /task of m/],
    [{ task: "Text Generation" }, /task of m/],
    [{ task: "x".repeat(101) }, /task of m/],
    [{ task: 7 }, /task of m/],
    [{ tokenizer: "" }, /tokenizer of m/],
    [{ tokenizer: 7 }, /tokenizer of m/],
    [{ tokenizer: {} }, /tokenizer of m/],
    [{ tokenizer: { json: "{}" } }, /tokenizer of m/],
    [{ tokenizer: { json: {}, config: 1 } }, /tokenizer of m/],
  ])("are %o", (options, message) => {
    const registry = new ModelRegistry();
    expect(() => registry.register("m", URL_OF_MODEL, options as ModelOptions)).toThrow(badOptions(message));
    expect(registry.find("m")).toBeNull();
  });

  it("are too many names; known ones may still be given anew", () => {
    const registry = new ModelRegistry();
    for (let n = 0; n < MODELS_REGISTERED_MAX; n++) registry.register(`m${n}`, URL_OF_MODEL);
    expect(() => registry.register("one-more", URL_OF_MODEL)).toThrow(
      expect.objectContaining({ code: "LIMIT_REACHED" }),
    );
    registry.register("m0", "/other.onnx");
    expect(registry.find("m0")?.source).toBe("/other.onnx");
  });
});

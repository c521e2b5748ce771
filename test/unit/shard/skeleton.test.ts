import { describe, expect, it } from "vitest";
import { HoldfastError } from "../../../src/base/errors.ts";
import { externalRange, parseModel } from "../../../src/shard/model.ts";
import { readSkeleton } from "../../../src/shard/skeleton.ts";
import { fileOf, modelFiles, readerOf } from "./models.ts";

function refusal(bytes: Uint8Array): string {
  try {
    readSkeleton(readerOf(bytes));
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    expect((error as HoldfastError).code).toBe("BAD_MODEL");
    return (error as HoldfastError).message;
  }
  throw new Error("it was accepted");
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe("readSkeleton", () => {
  it.each(["moby", "rec", "det", "cls"] as const)("%s: points at the same bytes that the whole model holds", (name) => {
    const bytes = fileOf(modelFiles(name), "");
    const whole = parseModel(bytes);
    const skeleton = readSkeleton(readerOf(bytes));
    const light = parseModel(skeleton.bytes);
    expect(skeleton.files).toEqual([]);
    expect(skeleton.bytes.length).toBeLessThan(bytes.length / 4);
    expect(light.graph.node.map((node) => node.name)).toEqual(whole.graph.node.map((node) => node.name));
    const tensorsOf = (model: typeof whole) => [
      ...model.graph.initializer,
      ...model.graph.node.flatMap((node) => node.attribute.flatMap((attribute) => attribute.t ?? [])),
    ];
    const original = tensorsOf(whole);
    let external = 0;
    for (const [i, tensor] of tensorsOf(light).entries()) {
      const range = externalRange(tensor);
      const raw = original[i]?.rawData ?? new Uint8Array(0);
      if (range === null) {
        expect(tensor).toEqual(original[i]);
        continue;
      }
      external += 1;
      expect(range.location).toBe("");
      expect(Buffer.compare(bytes.subarray(range.offset, range.offset + range.length), raw)).toBe(0);
    }
    expect(external).toBeGreaterThan(10);
  });

  it("keeps the ranges of external data and names its files", () => {
    const bytes = fileOf(modelFiles("mobyExternal"), "");
    const skeleton = readSkeleton(readerOf(bytes));
    expect(skeleton.files).toEqual(["model.onnx_data"]);
    const whole = parseModel(bytes);
    const ranges = parseModel(skeleton.bytes).graph.initializer.map((tensor) => externalRange(tensor));
    expect(ranges).toEqual(whole.graph.initializer.map((tensor) => externalRange(tensor)));
  });

  it("does not read the weights of a large file", () => {
    const small = fileOf(modelFiles("moby"), "");
    const reader = readerOf(small);
    readSkeleton(reader);
    expect(reader.bytesRead()).toBeLessThan(small.length * 0.75);
  });

  it("says of a file cut short at any place that it is truncated", () => {
    const bytes = fileOf(modelFiles("cls"), "");
    for (const share of [0.001, 0.3, 0.9, 0.999]) {
      expect(refusal(bytes.subarray(0, Math.floor(bytes.length * share)))).toMatch(/^the file is truncated: /);
    }
    expect(refusal(bytes.subarray(0, bytes.length - 1))).toMatch(/truncated|damaged/);
  });

  it("refuses what is no model, and says what it seems to be", () => {
    expect(refusal(new Uint8Array(0))).toMatch(/^the file is empty/);
    expect(refusal(text('{"error":"not found"}'))).toMatch(/^not an ONNX model: .*JSON/);
    expect(refusal(text("<!doctype html><title>404</title>"))).toMatch(/^not an ONNX model: .*web page/);
    expect(refusal(text("version https://git-lfs.github.com/spec/v1\n"))).toMatch(/Git LFS pointer/);
    expect(refusal(text("PK\u0003\u0004 some archive"))).toMatch(/^not an ONNX model/);
  });

  it("refuses random bytes", () => {
    let seed = 7;
    for (let round = 0; round < 300; round++) {
      const bytes = Uint8Array.from({ length: 1 + (round % 90) * 7 }, () => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return seed >>> 24;
      });
      expect(refusal(bytes)).toMatch(/^not an ONNX model|^the file is/);
    }
  });

  it("answers damage inside a model with BAD_MODEL or a skeleton, never with another error", () => {
    const bytes = fileOf(modelFiles("cls"), "").slice();
    let seed = 3;
    for (let round = 0; round < 60; round++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const at = seed % bytes.length;
      const before = bytes[at] ?? 0;
      bytes[at] = before ^ 0xff;
      try {
        parseModel(readSkeleton(readerOf(bytes)).bytes);
      } catch (error) {
        expect((error as HoldfastError).code).toBe("BAD_MODEL");
      }
      bytes[at] = before;
    }
  });
});

import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { giveOutputs, type TensorLike, takeFeeds } from "../../../src/page/tensors.ts";
import type { ValueSpec } from "../../../src/shard/types.ts";

const INPUTS: readonly ValueSpec[] = [
  { name: "x", type: "float32", dims: ["batch", 2] },
  { name: "ids", type: "int64", dims: null },
];
const GOOD: Readonly<Record<string, TensorLike>> = {
  x: { type: "float32", dims: [3, 2], data: new Float32Array(6) },
  ids: { type: "int64", dims: [2], data: BigInt64Array.of(1n, 2n) },
};
const x = (changes: Partial<TensorLike>) => ({ ...GOOD, x: { ...(GOOD["x"] as TensorLike), ...changes } });

describe("feeds", () => {
  it("of any library's tensors are taken", () => {
    const feeds = { x: new Tensor("float32", Float32Array.of(1, 2), [1, 2]), ids: GOOD["ids"] as TensorLike };
    expect(takeFeeds(feeds, INPUTS)).toEqual({
      x: { type: "float32", dims: [1, 2], data: Float32Array.of(1, 2) },
      ids: GOOD["ids"],
    });
  });

  it("are copied: the page may change its arrays afterwards", () => {
    const data = Float32Array.of(0, 1, 2, 3);
    const dims = [1, 2];
    const taken = takeFeeds(x({ dims, data: data.subarray(1, 3) }), INPUTS);
    data.fill(9);
    dims[0] = 7;
    expect(taken["x"]).toEqual({ type: "float32", dims: [1, 2], data: Float32Array.of(1, 2) });
    expect(taken["x"]?.data.buffer.byteLength).toBe(8);
  });

  it.each<[string, Readonly<Record<string, TensorLike>>, RegExp]>([
    ["an unknown name", { ...GOOD, y: GOOD["x"] as TensorLike }, /no input "y"; the model takes x, ids/],
    ["a missing input", { x: GOOD["x"] as TensorLike }, /"ids" is missing/],
    ["another dtype", x({ type: "int32", data: new Int32Array(6) }), /"x" is int32, the model takes float32/],
    ["another rank", x({ dims: [6] }), /"x" has the dims \[6\], the model takes rank 2 \(\[batch, 2\]\)/],
    ["another fixed dimension", x({ dims: [2, 3] }), /"x" has the dims \[2, 3\], the model takes \[batch, 2\]/],
    ["too few elements", x({ data: new Float32Array(5) }), /"x" has 5 elements for the dims \[3, 2\]/],
    ["null", { ...GOOD, x: null as unknown as TensorLike }, /"x" is not a tensor/],
    ["a number", { ...GOOD, x: 7 as unknown as TensorLike }, /"x" is not a tensor/],
    ["no dims", x({ dims: undefined as unknown as number[] }), /"x" is not a tensor/],
    ["no data on the CPU", x({ data: undefined }), /"x" has no data on the CPU/],
    ["data of no typed array", x({ data: [1, 2, 3, 4, 5, 6] }), /"x" has no data on the CPU/],
    ["a DataView", x({ data: new DataView(new ArrayBuffer(24)) }), /"x" has no data on the CPU/],
    ["wider data than it says", x({ data: new Float64Array(6) }), /"x" is float32, its data is of type Float64Array/],
    ["other data than it says", x({ data: new Int32Array(6) }), /"x" is float32, its data is of type Int32Array/],
  ])("are refused by name: %s", (_, feeds, message) => {
    expect(() => takeFeeds(feeds, INPUTS)).toThrow(expect.objectContaining({ code: "BAD_FEEDS" }));
    expect(() => takeFeeds(feeds, INPUTS)).toThrow(message);
  });
});

describe("the data of a feed", () => {
  it.each<[ValueSpec["type"], TensorLike["data"]]>([
    ["float16", Uint16Array.of(1)],
    ["bool", Uint8Array.of(1)],
    ["uint8", Uint8ClampedArray.of(1)],
    ["uint8", Uint8Array.of(1)],
    ["uint64", BigUint64Array.of(1n)],
  ])("of type %s is taken as onnxruntime takes it: %o", (type, data) => {
    expect(takeFeeds({ x: { type, dims: [1], data } }, [{ name: "x", type, dims: [1] }])["x"]?.data).toEqual(data);
  });
});

describe("outputs", () => {
  it("are onnxruntime's tensors with the dims, the type and the very array that came", () => {
    const data = Float32Array.of(1, 2);
    const { y } = giveOutputs({ y: { type: "float32", dims: [2, 1], data } });
    expect(y).toBeInstanceOf(Tensor);
    expect([y?.type, y?.dims, y?.data]).toEqual(["float32", [2, 1], data]);
    expect(y?.data).toBe(data);
  });

  it("of every wide type can be given", () => {
    const given = giveOutputs({
      a: { type: "int64", dims: [1], data: BigInt64Array.of(3n) },
      b: { type: "bool", dims: [1], data: Uint8Array.of(1) },
    });
    expect([given["a"]?.type, given["b"]?.type]).toEqual(["int64", "bool"]);
  });
});

import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { giveOutputs, takeFeeds } from "../../../src/page/tensors.ts";
import type { ValueSpec } from "../../../src/shard/types.ts";

const INPUTS: readonly ValueSpec[] = [
  { name: "x", type: "float32", dims: [1, "n", null] },
  { name: "ids", type: "int64", dims: null },
];
const ids = { type: "int64", dims: [2], data: BigInt64Array.of(1n, 2n) };
const x = { type: "float32", dims: [1, 2, 2], data: Float32Array.of(1, 2, 3, 4) };

describe("feeds that fit", () => {
  it("are copied: the page may change its arrays afterwards", () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const taken = takeFeeds({ x: { ...x, data }, ids }, INPUTS);
    data.fill(9);
    expect([...(taken["x"]?.data ?? [])]).toEqual([1, 2, 3, 4]);
    expect(taken["ids"]).toEqual(ids);
  });
  it("may be another library's tensors", () => {
    const feeds = { x: new Tensor("float32", [1, 2], [1, 1, 2]), ids: new Tensor("int64", [5n], [1]) };
    expect(takeFeeds(feeds, INPUTS)["x"]).toMatchObject({ type: "float32", dims: [1, 1, 2] });
  });
});

describe("feeds that do not fit are refused with the name that is wrong", () => {
  it.each([
    ["one is missing", { x }, /"ids" is missing/],
    ["one is unknown", { x, ids, y: x }, /no input "y".*x, ids/],
    ["another dtype", { x: { ...x, type: "float64", data: new Float64Array(4) }, ids }, /float64.*float32/],
    ["another rank", { x: { ...x, dims: [4] }, ids }, /rank 3/],
    ["another fixed dimension", { x: { ...x, dims: [2, 2, 1] }, ids }, /\[2, 2, 1\]/],
    ["a length that is not the dims'", { x: { ...x, dims: [1, 2, 3] }, ids }, /4 elements/],
    ["no typed array", { x: { ...x, data: [1, 2, 3, 4] }, ids }, /no data on the CPU/],
    ["a DataView", { x: { ...x, data: new DataView(new ArrayBuffer(16)) }, ids }, /no data on the CPU/],
  ])("%s", (_, feeds, message) => {
    const attempt = () => takeFeeds(feeds as Parameters<typeof takeFeeds>[0], INPUTS);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code: "BAD_FEEDS" }));
  });
});

it("outputs are onnxruntime's tensors", () => {
  const { y } = giveOutputs({ y: { type: "float32", dims: [2], data: Float32Array.of(1, 2) } });
  expect(y).toBeInstanceOf(Tensor);
  expect(y).toMatchObject({ type: "float32", dims: [2], data: Float32Array.of(1, 2) });
});

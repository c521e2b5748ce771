import { describe, expect, it } from "vitest";
import { arrayOf, byteLengthOf, bytesOf, elementCount, toHex, zeros } from "../../../src/base/bytes.ts";
import { forPosting } from "../../../src/base/post.ts";
import type { ElementType, WireTensor } from "../../../src/base/tensor.ts";

const BYTES: readonly (readonly [ElementType, number])[] = [
  ["float32", 4],
  ["float64", 8],
  ["float16", 2],
  ["int64", 8],
  ["uint64", 8],
  ["int32", 4],
  ["uint32", 4],
  ["int16", 2],
  ["uint16", 2],
  ["int8", 1],
  ["uint8", 1],
  ["bool", 1],
];

describe("typed arrays of element types", () => {
  it.each(BYTES)("%s has %i bytes an element", (type, bytes) => {
    expect(arrayOf(type).BYTES_PER_ELEMENT).toBe(bytes);
    expect(zeros(type, [2, 3]).data.byteLength).toBe(6 * bytes);
  });
  it("strings have none", () => {
    expect(() => arrayOf("string")).toThrow(/string tensors/);
  });
});

describe("sizes", () => {
  it("a scalar has one element, a tensor without rows none", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([1, 0, 8])).toBe(0);
  });
  it("add up over tensors", () => {
    expect(byteLengthOf({ a: zeros("float32", [2]), b: zeros("int64", [1]) })).toBe(16);
  });
});

it("bytesOf sees the tensor's own part of a buffer and copies nothing", () => {
  const data = new Float32Array(4).subarray(1, 3);
  const bytes = bytesOf({ type: "float32", dims: [2], data });
  expect([bytes.byteOffset, bytes.byteLength, bytes.buffer === data.buffer]).toEqual([4, 8, true]);
});

it("toHex writes two digits a byte", () => {
  expect(toHex(Uint8Array.of(0, 10, 255).buffer)).toBe("000aff");
});

describe("tensors for posting", () => {
  const tensor = (count: number): WireTensor => ({ type: "uint8", dims: [count], data: new Uint8Array(count).fill(7) });

  it("large ones are copies that may be transferred, small ones are cloned with the message", () => {
    const [small, large] = [tensor(100), tensor(100_000)];
    const { tensors, transfer } = forPosting({ small, large });
    expect(tensors["small"]).toBe(small);
    expect(transfer).toHaveLength(1);
    expect(tensors["large"]?.data.buffer).toBe(transfer[0]);
    expect(tensors["large"]).toEqual(large);
    structuredClone(tensors["large"]?.data, { transfer });
    expect(large.data.length).toBe(100_000);
  });
});

import { describe, expect, it } from "vitest";
import { arrayOf, byteLengthOf, bytesOf, elementCount, toHex, zeros } from "../../../src/base/bytes.ts";
import { forPosting } from "../../../src/base/post.ts";
import type { ElementType, WireTensor } from "../../../src/base/tensor.ts";

describe("the typed array of an element type", () => {
  it.each<[ElementType, number]>([
    ["float64", 8],
    ["int64", 8],
    ["uint64", 8],
    ["float32", 4],
    ["int32", 4],
    ["uint32", 4],
    ["float16", 2],
    ["int16", 2],
    ["uint16", 2],
    ["int8", 1],
    ["uint8", 1],
    ["bool", 1],
  ])("holds %s in %d bytes", (type, bytes) => {
    expect(arrayOf(type).BYTES_PER_ELEMENT).toBe(bytes);
    expect(zeros(type, [2, 3]).data.byteLength).toBe(6 * bytes);
  });

  it("does not exist for strings", () => {
    expect(() => arrayOf("string")).toThrow("no typed array");
  });
});

describe("counts", () => {
  it.each<[readonly number[], number]>([
    [[], 1],
    [[0], 0],
    [[2, 0, 3], 0],
    [[2, 3, 4], 24],
  ])("the elements of dims %o: %d", (dims, count) => {
    expect(elementCount(dims)).toBe(count);
  });

  it("the bytes of a view, not of what lies around it", () => {
    const tensor: WireTensor = { type: "uint16", dims: [2], data: Uint16Array.of(1, 2, 3, 4).subarray(1, 3) };
    expect([...bytesOf(tensor)]).toEqual([2, 0, 3, 0]);
    expect(byteLengthOf({ a: tensor, b: tensor })).toBe(8);
  });

  it("every byte in hex", () => {
    expect(toHex(Uint8Array.of(0, 15, 255).buffer)).toBe("000fff");
  });
});

describe("tensors to post", () => {
  const small: WireTensor = { type: "float32", dims: [2], data: new Float32Array(2) };
  const large: WireTensor = { type: "uint8", dims: [65_536], data: new Uint8Array(65_536).fill(3) };

  it("transfer a copy of the large ones only, and leave the sender's whole", () => {
    const { tensors, transfer } = forPosting({ small, large });
    expect(transfer).toHaveLength(1);
    expect(tensors["small"]).toBe(small);
    const posted = structuredClone(tensors, { transfer });
    expect(posted).toEqual({ small, large });
    expect(large.data.byteLength).toBe(65_536);
  });

  it("transfer of a view no more than the view", () => {
    const { transfer } = forPosting({
      view: { ...large, dims: [20_000], data: large.data.subarray(0, 20_000) as Uint8Array },
    });
    expect(transfer.map((buffer) => buffer.byteLength)).toEqual([20_000]);
  });
});

import { describe, expect, it } from "vitest";
import { arrayOf, elementCount } from "../../../src/base/bytes.ts";
import type { ElementType, WireTensor } from "../../../src/base/tensor.ts";
import { joinRows, rowsFrom } from "../../../src/state/delta.ts";
import { Random } from "../random.ts";

/** A tensor whose every element is another. */
function counting(type: ElementType, dims: readonly number[]): WireTensor {
  const data = new (arrayOf(type))(elementCount(dims));
  for (let index = 0; index < data.length; index++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[index] = BigInt(index + 1);
    else data[index] = index + 1;
  }
  return { type, dims, data };
}

describe("rows along an axis", () => {
  it("are taken from the end of each block", () => {
    const taken = rowsFrom(counting("int32", [2, 3, 2]), 1, 2);
    expect(taken.dims).toEqual([2, 1, 2]);
    expect([...taken.data]).toEqual([5, 6, 11, 12]);
  });
  it("none are left after the last", () => {
    expect(rowsFrom(counting("int32", [2, 3, 2]), 1, 3).dims).toEqual([2, 0, 2]);
  });
  it("are joined block by block", () => {
    const joined = joinRows([counting("int8", [2, 1]), counting("int8", [2, 2])], 1);
    expect(joined.dims).toEqual([2, 3]);
    expect([...joined.data]).toEqual([1, 1, 2, 2, 3, 4]);
  });
  it("of a view into a larger buffer are its own", () => {
    const data = new Int16Array([9, 9, 1, 2, 3, 4]).subarray(2);
    expect([...rowsFrom({ type: "int16", dims: [4], data }, 0, 2).data]).toEqual([3, 4]);
  });
  it("cannot be joined from nothing", () => {
    expect(() => joinRows([], 0)).toThrow(/no rows/);
  });

  it.each(["float32", "float16", "int64", "uint8", "float64"] as const)(
    "of %s split and joined are the same",
    (type) => {
      const random = new Random(type.length);
      for (let round = 0; round < 50; round++) {
        const dims = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(4));
        const axis = random.below(dims.length);
        const whole = counting(type, dims);
        const at = random.below((dims[axis] as number) + 1);
        const tail = rowsFrom(whole, axis, at);
        const head = rowsFrom(reversed(whole, axis), axis, (dims[axis] as number) - at);
        expect(joinRows([reversed(head, axis), tail], axis)).toEqual(whole);
      }
    },
  );
});

/** The same tensor with its rows in reverse order, by another way than the one under test. */
function reversed(tensor: WireTensor, axis: number): WireTensor {
  const rows = tensor.dims[axis] as number;
  const inner = elementCount(tensor.dims.slice(axis + 1));
  const data = tensor.data.slice();
  for (let index = 0; index < data.length; index++) {
    const row = Math.floor(index / inner) % rows;
    (data as Uint8Array)[index] = tensor.data[index + (rows - 1 - 2 * row) * inner] as number;
  }
  return { ...tensor, data };
}

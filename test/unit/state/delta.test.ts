import { describe, expect, it } from "vitest";
import { arrayOf, bytesOf, elementCount } from "../../../src/base/bytes.ts";
import type { ElementType, WireTensor } from "../../../src/base/tensor.ts";
import { layRows, rowsFrom } from "../../../src/state/delta.ts";

const TYPES: readonly ElementType[] = [
  "float32",
  "float64",
  "float16",
  "int64",
  "uint64",
  "int32",
  "uint32",
  "int16",
  "uint16",
  "int8",
  "uint8",
  "bool",
];

function counting(type: ElementType, dims: readonly number[]): WireTensor {
  const data = new (arrayOf(type))(elementCount(dims));
  for (let at = 0; at < data.length; at++)
    data[at] = data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(at) : at % 127;
  return { type, dims, data };
}

describe("rows taken off and joined again", () => {
  it.each(TYPES)("give the whole, along every axis and at every cut: %s", (type) => {
    const whole = counting(type, [2, 3, 4]);
    for (const [axis, rows] of [2, 3, 4].entries()) {
      for (let cut = 0; cut <= rows; cut++) {
        const end = rowsFrom(whole, axis, cut);
        const start = layRows([{ tensor: rowsFrom(layRows([{ tensor: whole }], axis), axis, 0) }], axis);
        expect(start).toEqual(whole);
        expect(end.dims[axis]).toBe(rows - cut);
        const head = headOf(whole, axis, cut);
        expect(layRows([{ tensor: head }, { tensor: end }], axis)).toEqual(whole);
      }
    }
  });

  it("give the whole from many parts, empty ones among them", () => {
    const whole = counting("float32", [1, 2, 6, 2]);
    const parts = [
      headOf(whole, 2, 1),
      headOf(rowsFrom(whole, 2, 1), 2, 0),
      headOf(rowsFrom(whole, 2, 1), 2, 4),
      rowsFrom(whole, 2, 5),
    ];
    const wrapped = parts.map((tensor) => ({ tensor }));
    expect(layRows(wrapped, 2)).toEqual(whole);
  });
});

describe("rows", () => {
  it("are those after the first ones of every block", () => {
    const tensor: WireTensor = { type: "int32", dims: [2, 3, 1], data: Int32Array.of(1, 2, 3, 4, 5, 6) };
    expect(rowsFrom(tensor, 1, 2)).toEqual({ type: "int32", dims: [2, 1, 1], data: Int32Array.of(3, 6) });
  });

  it("beyond the end are none", () => {
    expect(rowsFrom(counting("float32", [2, 3]), 1, 5)).toMatchObject({ dims: [2, 0] });
  });

  it("are read right from a view into a larger buffer, and are copies", () => {
    const buffer = Float32Array.of(9, 9, 1, 2, 3, 9);
    const tensor: WireTensor = { type: "float32", dims: [1, 3], data: buffer.subarray(2, 5) };
    const taken = rowsFrom(tensor, 1, 1);
    buffer.fill(0);
    expect([...taken.data]).toEqual([2, 3]);
    expect(bytesOf(taken).byteLength).toBe(taken.data.buffer.byteLength);
  });

  it("laid over others take their place, and behind the last there are zeros", () => {
    const of = (...values: number[]): WireTensor => {
      return { type: "int32", dims: [1, values.length, 1], data: Int32Array.from(values) };
    };
    const parts = [
      { tensor: of(1, 2, 3), at: { from: 0, size: 6 } },
      { tensor: of(8, 9), at: { from: 1, size: 6 } },
      { tensor: of(5), at: { from: 2, size: 6 } },
    ];
    expect([...layRows(parts, 1).data]).toEqual([1, 8, 5, 0, 0, 0]);
    const shorter = { tensor: of(7), at: { from: 1, size: 2 } };
    expect([...layRows([...parts, shorter, { tensor: of(4) }], 1).data]).toEqual([1, 7, 4]);
    const wide: WireTensor = { type: "int8", dims: [2, 2], data: Int8Array.of(1, 2, 3, 4) };
    const late = { type: "int8" as const, dims: [2, 1], data: Int8Array.of(5, 6) };
    const both = [{ tensor: wide }, { tensor: late, at: { from: 1, size: 3 } }];
    expect([...layRows(both, 1).data]).toEqual([1, 5, 0, 3, 6, 0]);
  });

  it("of nothing cannot be joined", () => {
    expect(() => layRows([], 0)).toThrow("no rows");
  });
});

/** The first `rows` rows, made element by element: the slow way that the fast one is held against. */
function headOf(tensor: WireTensor, axis: number, rows: number): WireTensor {
  const dims = tensor.dims.map((dim, at) => (at === axis ? rows : dim));
  const data = new (arrayOf(tensor.type))(elementCount(dims));
  for (let at = 0; at < data.length; at++) {
    let rest = at;
    const index = dims.map((_, place) => {
      const inner = elementCount(dims.slice(place + 1));
      const here = Math.floor(rest / inner);
      rest %= inner;
      return here;
    });
    const from = index.reduce((sum, here, place) => sum * (tensor.dims[place] as number) + here, 0);
    data[at] = tensor.data[from] as number & bigint;
  }
  return { type: tensor.type, dims, data };
}

import type { ElementType } from "../base/tensor.ts";

interface ElementRow {
  readonly type: ElementType | null;
  readonly bits: number;
}

/** TensorProto.DataType → onnxruntime's name (null: no tensor of that type can cross a port) and bits per element. */
const ROWS: Readonly<Record<number, ElementRow>> = {
  1: { type: "float32", bits: 32 },
  2: { type: "uint8", bits: 8 },
  3: { type: "int8", bits: 8 },
  4: { type: "uint16", bits: 16 },
  5: { type: "int16", bits: 16 },
  6: { type: "int32", bits: 32 },
  7: { type: "int64", bits: 64 },
  8: { type: "string", bits: 0 },
  9: { type: "bool", bits: 8 },
  10: { type: "float16", bits: 16 },
  11: { type: "float64", bits: 64 },
  12: { type: "uint32", bits: 32 },
  13: { type: "uint64", bits: 64 },
  14: { type: null, bits: 64 },
  15: { type: null, bits: 128 },
  16: { type: null, bits: 16 },
  17: { type: null, bits: 8 },
  18: { type: null, bits: 8 },
  19: { type: null, bits: 8 },
  20: { type: null, bits: 8 },
  21: { type: "uint4", bits: 4 },
  22: { type: "int4", bits: 4 },
  23: { type: null, bits: 4 },
  24: { type: null, bits: 8 },
};

/** Whether the number is a TensorProto.DataType at all: a damaged file may hold any. */
export function isDataType(dataType: number): boolean {
  return ROWS[dataType] !== undefined;
}

export function elementTypeOf(dataType: number): ElementType | null {
  return ROWS[dataType]?.type ?? null;
}

/** Bytes of a dense tensor; 0 for strings and for types that are not known. */
export function tensorBytes(dataType: number, dims: readonly (number | bigint)[]): number {
  const elements = dims.reduce<number>((product, dim) => product * Number(dim), 1);
  return Math.ceil((elements * (ROWS[dataType]?.bits ?? 0)) / 8);
}

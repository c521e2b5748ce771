import type { ElementType, TensorData, WireTensor } from "./tensor.ts";

type DataConstructor = {
  new (buffer: ArrayBuffer): TensorData;
  new (length: number): TensorData;
  readonly BYTES_PER_ELEMENT: number;
};

// float16 travels as its 16 bits; bool as one byte each; 4-bit types as packed bytes.
const ARRAYS: Readonly<Record<Exclude<ElementType, "string">, DataConstructor>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int4: Int8Array,
  uint4: Uint8Array,
};

export function isNumeric(type: ElementType): type is Exclude<ElementType, "string"> {
  return type !== "string";
}

/** The typed array that holds elements of this type. Strings have none. */
export function arrayOf(type: ElementType): DataConstructor {
  if (!isNumeric(type)) throw new Error("string tensors have no typed array");
  return ARRAYS[type];
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

export function zeros(type: ElementType, dims: readonly number[]): WireTensor {
  return { type, dims, data: new (arrayOf(type))(elementCount(dims)) };
}

/** The bytes of a tensor as a view; nothing is copied. */
export function bytesOf(tensor: WireTensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

export function byteLengthOf(tensors: Readonly<Record<string, WireTensor>>): number {
  return Object.values(tensors).reduce((sum, { data, device }) => sum + (device?.bytes ?? data.byteLength), 0);
}

export function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

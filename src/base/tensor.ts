/** onnxruntime's names of element types. */
export type ElementType =
  | "float32"
  | "float64"
  | "float16"
  | "int64"
  | "uint64"
  | "int32"
  | "uint32"
  | "int16"
  | "uint16"
  | "int8"
  | "uint8"
  | "bool"
  | "int4"
  | "uint4"
  | "string";

export type TensorData =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A tensor as it crosses ports: structured-clonable, row-major, little-endian, no class of its own. */
export interface WireTensor {
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: TensorData;
  /** Where its bytes lie instead, in a host that keeps it on its device: `data` is empty then. Crosses no port. */
  readonly device?: DeviceData;
}
export interface ByteRange {
  readonly from: number;
  readonly length: number;
}
export interface DeviceData {
  readonly bytes: number;
  /** What lies in these ranges now, one behind the other; left out: all. Whatever comes later changes nothing of it. */
  read(ranges?: readonly ByteRange[]): Promise<ArrayBuffer>;
  /** To be called once; nothing is read after it. */
  free(): void;
}
export type WireTensors = Readonly<Record<string, WireTensor>>;

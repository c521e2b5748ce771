import type { TensorProto, ValueInfoProto } from "./model.ts";

/** A size, the name of a symbolic size, or null for one that is not known. A tensor's dims are null if its rank is not known. */
export type Dim = number | string | null;
export type Dims = readonly Dim[] | null;

export function declaredDims(value: ValueInfoProto): Dims {
  const shape = value.type?.value.case === "tensorType" ? value.type.value.value.shape : undefined;
  if (shape === undefined) return null;
  return shape.dim.map(({ value: dim }) => {
    if (dim.case === "dimValue") return Number(dim.value);
    return dim.case === "dimParam" && dim.value !== "" ? dim.value : null;
  });
}

/** NumPy's broadcasting. Where a size is not certain the result says null. */
export function broadcast(a: Dims, b: Dims): Dims {
  if (a === null || b === null) return null;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = i < rank - a.length ? 1 : (a[i - rank + a.length] ?? null);
    const y = i < rank - b.length ? 1 : (b[i - rank + b.length] ?? null);
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    // Whatever the other is, it has to be 1 or the same.
    return isWide(x) ? x : isWide(y) ? y : null;
  });
}

function isWide(dim: Dim): dim is number {
  return typeof dim === "number" && dim > 1;
}

/** The values of a small int64 constant; null if they are not inline. */
export function constantInts(tensor: TensorProto | undefined): number[] | null {
  if (tensor === undefined || tensor.dataType !== 7 || tensor.dataLocation !== 0) return null;
  if (tensor.int64Data.length > 0) return tensor.int64Data.map(Number);
  const { buffer, byteOffset, byteLength } = tensor.rawData;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Array.from({ length: Math.floor(byteLength / 8) }, (_, i) => Number(view.getBigInt64(i * 8, true)));
}

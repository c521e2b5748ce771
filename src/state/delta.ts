import { arrayOf, elementCount } from "../base/bytes.ts";
import type { DeviceData, WireTensor } from "../base/tensor.ts";

// A tensor with rows along `axis` is `outer` blocks of `rows × inner` elements, row-major.
function layout(tensor: WireTensor, axis: number): { outer: number; rows: number; inner: number } {
  return {
    outer: elementCount(tensor.dims.slice(0, axis)),
    rows: tensor.dims[axis] ?? 0,
    inner: elementCount(tensor.dims.slice(axis + 1)),
  };
}

function withRows(dims: readonly number[], axis: number, rows: number): number[] {
  return dims.map((dim, index) => (index === axis ? rows : dim));
}

/** Copies rows `from` … `to` (without it: all) along `axis` into a tensor of their own. Same dtype; other dims unchanged. */
export function rowsFrom(tensor: WireTensor, axis: number, from: number, to?: number): WireTensor {
  const { outer, rows, inner } = layout(tensor, axis);
  const taken = Math.max(0, Math.min(rows, to ?? rows) - from);
  const dims = withRows(tensor.dims, axis, taken);
  if (tensor.device !== undefined) return deviceRows(tensor.device, { ...tensor, dims }, { outer, rows, inner, from });
  const data = new (arrayOf(tensor.type))(outer * taken * inner);
  for (let block = 0; block < outer; block++) {
    const start = (block * rows + from) * inner;
    copy(data, block * taken * inner, tensor, start, taken * inner);
  }
  return { type: tensor.type, dims, data };
}

/** The rows alone leave the device, and are on their way when this returns. */
function deviceRows(
  device: DeviceData,
  { type, dims, data }: WireTensor,
  { outer, rows, inner, from }: { outer: number; rows: number; inner: number; from: number },
): WireTensor {
  const size = data.BYTES_PER_ELEMENT;
  const bytes = elementCount(dims) * size;
  const length = outer === 0 ? 0 : bytes / outer;
  const blocks = Array.from({ length: outer }, (_, block) => ({ from: (block * rows + from) * inner * size, length }));
  const arriving = device.read(blocks);
  // Whoever asks for them hears of it.
  arriving.catch(() => undefined);
  return { type, dims, data, device: { bytes, read: () => arriving, free: () => undefined } };
}

/** All of a tensor as it is now. */
export function snapshotOf(tensor: WireTensor): WireTensor {
  if (tensor.device === undefined) return tensor;
  const whole = { outer: 1, rows: 1, inner: elementCount(tensor.dims), from: 0 };
  return deviceRows(tensor.device, tensor, whole);
}

/** Rows that take the place of all that lay from row `from` on; `size`: rows of the whole, zeros behind these. Absent: added behind all. */
export interface RowsPart {
  readonly tensor: WireTensor;
  readonly at?: { readonly from: number; readonly size: number };
}

/** Lays tensors of one dtype upon each other along `axis`, the oldest first; the other dims must be equal. */
export function layRows(parts: readonly RowsPart[], axis: number): WireTensor {
  const [first] = parts;
  if (first === undefined) throw new Error("no rows to join");
  let size = 0;
  const placed = parts.map(({ tensor, at }) => {
    const from = at?.from ?? size;
    size = at?.size ?? size + (tensor.dims[axis] ?? 0);
    return { tensor, from };
  });
  const { outer, inner } = layout(first.tensor, axis);
  const { type, dims } = first.tensor;
  const data = new (arrayOf(type))(outer * size * inner);
  let end = size;
  for (const { tensor, from } of placed.reverse()) {
    const rows = tensor.dims[axis] ?? 0;
    const count = Math.max(0, Math.min(from + rows, end) - from);
    for (let block = 0; block < outer; block++)
      copy(data, (block * size + from) * inner, tensor, block * rows * inner, count * inner);
    end = Math.min(end, from);
  }
  return { type, dims: withRows(dims, axis, size), data };
}

function copy(target: WireTensor["data"], at: number, source: WireTensor, start: number, count: number): void {
  if (count === 0) return;
  // One element type on both sides: the same typed array, so bytes may be moved as they are.
  const size = source.data.BYTES_PER_ELEMENT;
  const from = new Uint8Array(source.data.buffer, source.data.byteOffset + start * size, count * size);
  new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(from, at * size);
}

import { arrayOf, elementCount } from "../base/bytes.ts";
import type { WireTensor } from "../base/tensor.ts";

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

/** Copies rows `from` … end along `axis` into a tensor of their own. Same dtype; other dims unchanged. */
export function rowsFrom(tensor: WireTensor, axis: number, from: number): WireTensor {
  const { outer, rows, inner } = layout(tensor, axis);
  const taken = Math.max(0, rows - from);
  const data = new (arrayOf(tensor.type))(outer * taken * inner);
  for (let block = 0; block < outer; block++) {
    const start = (block * rows + from) * inner;
    copy(data, block * taken * inner, tensor, start, taken * inner);
  }
  return { type: tensor.type, dims: withRows(tensor.dims, axis, taken), data };
}

/** Joins tensors of one dtype along `axis`; the other dims must be equal. */
export function joinRows(parts: readonly WireTensor[], axis: number): WireTensor {
  const [first] = parts;
  if (first === undefined) throw new Error("no rows to join");
  const total = parts.reduce((sum, part) => sum + (part.dims[axis] ?? 0), 0);
  const { outer, inner } = layout(first, axis);
  const data = new (arrayOf(first.type))(outer * total * inner);
  for (let block = 0; block < outer; block++) {
    let row = 0;
    for (const part of parts) {
      const rows = part.dims[axis] ?? 0;
      copy(data, (block * total + row) * inner, part, block * rows * inner, rows * inner);
      row += rows;
    }
  }
  return { type: first.type, dims: withRows(first.dims, axis, total), data };
}

function copy(target: WireTensor["data"], at: number, source: WireTensor, start: number, count: number): void {
  if (count === 0) return;
  // One element type on both sides: the same typed array, so bytes may be moved as they are.
  const size = source.data.BYTES_PER_ELEMENT;
  const from = new Uint8Array(source.data.buffer, source.data.byteOffset + start * size, count * size);
  new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(from, at * size);
}

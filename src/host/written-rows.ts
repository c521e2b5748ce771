import type { WireTensor, WireTensors } from "../base/tensor.ts";
import { ROWS_WRITTEN, ROWS_WRITTEN_RANK, type StateBinding } from "../shard/types.ts";

/** What a run made of a state's rows. */
export interface WrittenRows {
  /** The first that may differ from the past: all before it were copied. */
  readonly from: number;
  /** From here on nothing lies: zeros, or what nobody reads. */
  readonly used: number;
}

/**
 * Which rows of a state a run wrote, by what its graph proves and the run tells of itself. `values`: what the shard was given and
 * what it made. `pastUsed`: the rows of the past that something lies in.
 */
export function writtenRows(
  { appendAxis, written }: StateBinding,
  present: WireTensor,
  pastUsed: number,
  values: WireTensors,
  shapes: readonly string[] = [],
): WrittenRows {
  const rows = appendAxis === null ? 0 : (present.dims[appendAxis] ?? 0);
  if (appendAxis === null) return { from: 0, used: rows };
  if (written === undefined) return { from: Math.min(pastUsed, rows), used: rows };
  const told = values[written.lengths];
  const shape = shapes.indexOf(written.attended) * ROWS_WRITTEN_RANK;
  const count = values[ROWS_WRITTEN]?.data[shape + 1];
  // Nothing is proved then.
  if (told?.type !== "int32" || count === undefined) return { from: 0, used: rows };
  let [from, used] = [Math.min(pastUsed, rows), 0];
  for (const last of told.data as Int32Array) {
    const first = Math.max(0, last + 1 - Number(count));
    from = Math.min(from, first);
    used = Math.max(used, first + Number(count));
  }
  return { from, used: Math.min(used, rows) };
}

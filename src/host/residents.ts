import { byteLengthOf, zeros } from "../base/bytes.ts";
import type { WireTensor, WireTensors } from "../base/tensor.ts";
import type { CheckpointRecord } from "../protocol/host.ts";
import type { StateBinding } from "../shard/types.ts";
import { joinRows, rowsFrom } from "../state/delta.ts";

/** The tensors of one sequence that stay in the host between runs (KV cache, recurrent state). */
export class Residents {
  private tensors: Record<string, WireTensor>;
  /** The record that the next delta continues, with the rows it already covers per input; null: the next one is full. */
  private base: { run: number; rows: ReadonlyMap<string, number> } | null = null;

  constructor(private readonly bindings: readonly StateBinding[]) {
    this.tensors = initialState(bindings);
  }

  get any(): boolean {
    return this.bindings.length > 0;
  }

  /** The state as inputs of the next run. */
  inputs(): WireTensors {
    return this.tensors;
  }

  get bytes(): number {
    return byteLengthOf(this.tensors);
  }

  reset(): void {
    this.tensors = initialState(this.bindings);
    this.base = null;
  }

  /** Takes the new state from a run's outputs. */
  take(outputs: WireTensors): void {
    const next: Record<string, WireTensor> = {};
    for (const { input, output } of this.bindings) {
      const tensor = outputs[output];
      if (tensor === undefined) throw new Error(`the graph gave no output ${output}`);
      next[input.name] = tensor;
    }
    this.tensors = next;
  }

  /** What must be stored so that the state after `run` can come back: only new rows where rows are appended. */
  checkpoint(run: number): CheckpointRecord {
    const base = this.base;
    const rows = new Map<string, number>();
    const tensors = this.bindings.map(({ input, appendAxis }) => {
      const tensor = this.tensors[input.name] as WireTensor;
      if (appendAxis === null) return { input: input.name, appendAxis, tensor };
      rows.set(input.name, tensor.dims[appendAxis] ?? 0);
      return { input: input.name, appendAxis, tensor: rowsFrom(tensor, appendAxis, base?.rows.get(input.name) ?? 0) };
    });
    this.base = { run, rows };
    return { run, previous: base?.run ?? null, tensors };
  }

  /** Puts back the state that a chain of records describes, oldest first; an empty chain is the initial state. */
  restore(records: readonly CheckpointRecord[]): void {
    this.reset();
    const last = records.at(-1);
    if (last === undefined) return;
    const rows = new Map<string, number>();
    for (const { input, appendAxis } of last.tensors) {
      const parts = records.flatMap((record) => record.tensors.filter((part) => part.input === input));
      const latest = parts.at(-1);
      if (latest === undefined) throw new Error(`no stored state for ${input}`);
      const tensor =
        appendAxis === null
          ? latest.tensor
          : joinRows(
              parts.map((part) => part.tensor),
              appendAxis,
            );
      this.tensors[input] = tensor;
      if (appendAxis !== null) rows.set(input, tensor.dims[appendAxis] ?? 0);
    }
    this.base = { run: last.run, rows };
  }
}

/** Zeros, with no rows where rows are appended; an unnamed or symbolic dimension is 1 (one sequence). */
function initialState(bindings: readonly StateBinding[]): Record<string, WireTensor> {
  return Object.fromEntries(
    bindings.map(({ input, appendAxis }) => {
      const dims = (input.dims ?? []).map((dim, axis) => (axis === appendAxis ? 0 : typeof dim === "number" ? dim : 1));
      return [input.name, zeros(input.type, dims)];
    }),
  );
}

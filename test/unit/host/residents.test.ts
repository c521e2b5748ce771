import { describe, expect, it } from "vitest";
import { elementCount } from "../../../src/base/bytes.ts";
import type { WireTensor, WireTensors } from "../../../src/base/tensor.ts";
import { Residents } from "../../../src/host/residents.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import type { StateBinding } from "../../../src/shard/types.ts";

const BINDINGS: readonly StateBinding[] = [
  { input: { name: "past.k", type: "float32", dims: ["batch", 2, "rows", 3] }, output: "present.k", appendAxis: 2 },
  { input: { name: "acc", type: "int64", dims: [1, 4] }, output: "acc.next", appendAxis: null },
];

/** The outputs after `rows` tokens; `salt` tells two sequences apart. */
function outputsAfter(rows: number, salt = 0): WireTensors {
  const cache = new Float32Array(2 * rows * 3);
  for (let block = 0; block < 2; block++)
    for (let at = 0; at < rows * 3; at++) cache[block * rows * 3 + at] = salt + block * 10_000 + at;
  return {
    "present.k": { type: "float32", dims: [1, 2, rows, 3], data: cache },
    "acc.next": { type: "int64", dims: [1, 4], data: new BigInt64Array(4).fill(BigInt(rows + salt)) },
    logits: { type: "float32", dims: [1], data: new Float32Array(1) },
  };
}

function stateAfter(rows: number, salt = 0): WireTensors {
  const outputs = outputsAfter(rows, salt);
  return { "past.k": outputs["present.k"] as WireTensor, acc: outputs["acc.next"] as WireTensor };
}

const tensorsOf = ({ versions }: CheckpointRecord) => versions.flatMap(({ tensors }) => tensors);

/** A chain of records, one after each count of rows. */
function chain(residents: Residents, rows: readonly number[]): CheckpointRecord[] {
  return rows.map((count, run) => {
    residents.take(outputsAfter(count), run);
    return residents.checkpoint(run);
  });
}

describe("the initial state", () => {
  it("has no rows where rows are appended, zeros elsewhere, one sequence", () => {
    const inputs = new Residents(BINDINGS).inputs();
    expect(inputs["past.k"]).toEqual({ type: "float32", dims: [1, 2, 0, 3], data: new Float32Array(0) });
    expect(inputs["acc"]).toEqual({ type: "int64", dims: [1, 4], data: new BigInt64Array(4) });
  });

  it("comes back at a reset and from an empty chain", () => {
    for (const again of [(r: Residents) => r.reset(), (r: Residents) => r.restore([])]) {
      const residents = new Residents(BINDINGS);
      chain(residents, [2]);
      again(residents);
      expect(residents.inputs()).toEqual(new Residents(BINDINGS).inputs());
      residents.take(outputsAfter(3), 9);
      expect(residents.checkpoint(5).previous).toBeNull();
    }
  });

  it("is none without bindings", () => {
    const residents = new Residents([]);
    expect([residents.any, residents.inputs(), residents.checkpoint(0).versions]).toEqual([false, {}, []]);
  });
});

describe("a run's outputs", () => {
  it("become the next run's inputs, and others do not", () => {
    const residents = new Residents(BINDINGS);
    residents.take(outputsAfter(2), 9);
    expect(residents.inputs()).toEqual(stateAfter(2));
  });

  it("that lack one change nothing", () => {
    const residents = new Residents(BINDINGS);
    residents.take(outputsAfter(2), 9);
    const { "acc.next": _, ...rest } = outputsAfter(3);
    expect(() => residents.take(rest, 9)).toThrow("acc.next");
    expect(residents.inputs()).toEqual(stateAfter(2));
  });
});

describe("a checkpoint", () => {
  it("is full at first, then holds new rows only, and the whole of what is replaced", () => {
    const records = chain(new Residents(BINDINGS), [4, 5, 9]);
    expect(records.map(({ run, previous }) => [run, previous])).toEqual([
      [0, null],
      [1, 0],
      [2, 1],
    ]);
    expect(records.map((record) => tensorsOf(record).map(({ tensor }) => elementCount(tensor.dims)))).toEqual([
      [4 * 6, 4],
      [1 * 6, 4],
      [4 * 6, 4],
    ]);
  });

  it.each([[[4]], [[4, 5, 9]], [[1, 1, 1]], [[3, 3, 20]]])(
    "of every length of chain restores the state bit for bit: rows %o",
    (rows) => {
      const records = chain(new Residents(BINDINGS), rows);
      for (const [last, count] of rows.entries()) {
        const other = new Residents(BINDINGS);
        other.restore(structuredClone(records.slice(0, last + 1)));
        expect(other.inputs()).toEqual(stateAfter(count));
      }
    },
  );

  it("brings a standby a run to practise: the first since the record before, with its inputs", () => {
    const residents = new Residents(BINDINGS);
    const ids = (value: number): WireTensors => ({
      ids: { type: "int64", dims: [1], data: BigInt64Array.of(BigInt(value)) },
    });
    const run = (at: number, size = 0): void => {
      const feeds = size > 0 ? { ids: { type: "int8", dims: [size], data: new Int8Array(size) } as const } : ids(at);
      residents.take(outputsAfter(at + 1), at, { ...feeds, ...residents.inputs() });
    };
    run(0);
    expect(residents.checkpoint(0).sample).toBeUndefined();
    run(1);
    run(2);
    expect(residents.checkpoint(2).sample).toEqual({ after: 0, inputs: ids(1) });
    run(3, 10_000_000);
    run(4);
    expect(residents.checkpoint(4).sample).toBeUndefined();
  });

  it("after a restore continues the chain where it stood", () => {
    const records = chain(new Residents(BINDINGS), [4, 6]);
    const other = new Residents(BINDINGS);
    other.restore(records);
    other.take(outputsAfter(7), 9);
    const next = other.checkpoint(2);
    expect(next.previous).toBe(1);
    expect(tensorsOf(next)[0]?.tensor.dims).toEqual([1, 2, 1, 3]);
    const third = new Residents(BINDINGS);
    third.restore([...records, next]);
    expect(third.inputs()).toEqual(stateAfter(7));
  });

  it("of a new sequence begins a new chain", () => {
    const residents = new Residents(BINDINGS);
    chain(residents, [4, 6]);
    residents.reset();
    residents.take(outputsAfter(3, 500), 9);
    const record = residents.checkpoint(9);
    expect(record.previous).toBeNull();
    const other = new Residents(BINDINGS);
    other.restore([record]);
    expect(other.inputs()).toEqual(stateAfter(3, 500));
  });

  it("is not changed by what runs after it", () => {
    const residents = new Residents(BINDINGS);
    const [record] = chain(residents, [4]) as [CheckpointRecord];
    const copy = structuredClone(record);
    chain(residents, [5, 6]);
    expect(record).toEqual(copy);
  });
});

describe("a record that did not come into storage", () => {
  it("is taken along by the next, which continues the last that did", () => {
    const residents = new Residents(BINDINGS);
    const records = chain(residents, [2, 3, 5]);
    residents.confirm(0);
    // The third continues the second, so it is worth nothing either.
    residents.unstored(1);
    residents.unstored(2);
    residents.take(outputsAfter(6), 3);
    const next = residents.checkpoint(3);
    expect([next.previous, tensorsOf(next)[0]?.tensor.dims]).toEqual([0, [1, 2, 4, 3]]);
    const again = new Residents(BINDINGS);
    again.restore([records[0] as CheckpointRecord, next]);
    expect(again.inputs()).toEqual(stateAfter(6));
  });
  it("is made again as a whole when none before it did", () => {
    const residents = new Residents(BINDINGS);
    chain(residents, [2, 3]);
    residents.unstored(0);
    const next = residents.checkpoint(1);
    const again = new Residents(BINDINGS);
    again.restore([next]);
    expect([next.previous, again.inputs()]).toEqual([null, stateAfter(3)]);
  });
});

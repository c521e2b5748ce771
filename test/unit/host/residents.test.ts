import { describe, expect, it } from "vitest";
import type { WireTensor } from "../../../src/base/tensor.ts";
import { Residents } from "../../../src/host/residents.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import type { StateBinding } from "../../../src/shard/types.ts";
import { Random } from "../random.ts";

const BINDINGS: readonly StateBinding[] = [
  { input: { name: "past", type: "float32", dims: ["batch", 2, "rows"] }, output: "present", appendAxis: 2 },
  { input: { name: "h", type: "int64", dims: [3, null] }, output: "hN", appendAxis: null },
];

function rows(count: number, first = 0): WireTensor {
  // Row r of block b holds 10 b + r, as if rows had been appended one by one.
  const data = Float32Array.from(
    [0, 1].flatMap((block) => Array.from({ length: count }, (_, row) => 10 * block + row)),
  );
  return { type: "float32", dims: [1, 2, count], data: data.map((value) => value + first) };
}
function hidden(value: number): WireTensor {
  return { type: "int64", dims: [3, 1], data: BigInt64Array.of(1n, 2n, BigInt(value)) };
}

describe("resident state", () => {
  it("begins as zeros: no rows where rows are appended, one sequence where a dimension has only a name", () => {
    const { past, h } = new Residents(BINDINGS).inputs();
    expect(past).toEqual({ type: "float32", dims: [1, 2, 0], data: new Float32Array(0) });
    expect(h).toEqual({ type: "int64", dims: [3, 1], data: new BigInt64Array(3) });
  });
  it("is what the last run gave, under the inputs' names", () => {
    const residents = new Residents(BINDINGS);
    residents.take({ present: rows(2), hN: hidden(7), logits: rows(1) });
    expect(residents.inputs()).toEqual({ past: rows(2), h: hidden(7) });
  });
  it("is initial again after a reset", () => {
    const residents = new Residents(BINDINGS);
    residents.take({ present: rows(2), hN: hidden(7) });
    residents.reset();
    expect(residents.inputs()).toEqual(new Residents(BINDINGS).inputs());
  });
  it("names an output that the graph did not give", () => {
    expect(() => new Residents(BINDINGS).take({ present: rows(1) })).toThrow(/hN/);
  });
});

describe("checkpoints of resident state", () => {
  it("are complete first and then hold only new rows", () => {
    const residents = new Residents(BINDINGS);
    residents.take({ present: rows(3), hN: hidden(1) });
    const full = residents.checkpoint(0);
    residents.take({ present: rows(5), hN: hidden(2) });
    const delta = residents.checkpoint(16);
    expect([full.previous, delta.previous]).toEqual([null, 0]);
    expect(full.tensors.map(({ tensor }) => tensor.dims)).toEqual([
      [1, 2, 3],
      [3, 1],
    ]);
    expect(delta.tensors.map(({ tensor }) => tensor.dims)).toEqual([
      [1, 2, 2],
      [3, 1],
    ]);
    expect([...(delta.tensors[0]?.tensor.data ?? [])]).toEqual([3, 4, 13, 14]);
  });
  it("are complete again after a reset", () => {
    const residents = new Residents(BINDINGS);
    residents.checkpoint(0);
    residents.reset();
    expect(residents.checkpoint(3).previous).toBeNull();
  });
  it("bring the state back, and what is stored after that continues them", () => {
    const random = new Random(3);
    const residents = new Residents(BINDINGS);
    const records: CheckpointRecord[] = [];
    for (let run = 0, count = 0; run < 30; run++) {
      count += 1 + random.below(3);
      residents.take({ present: rows(count), hN: hidden(run) });
      if (random.chance(0.3)) records.push(structuredClone(residents.checkpoint(run)));
      else continue;
      const fresh = new Residents(BINDINGS);
      fresh.restore(records);
      expect(fresh.inputs()).toEqual(residents.inputs());
      const [one, other] = [fresh.checkpoint(run + 1), residents.checkpoint(run + 1)];
      expect(one).toEqual(other);
      residents.restore(records);
    }
    expect(records.length).toBeGreaterThan(4);
  });
  it("without any, the state is initial", () => {
    const residents = new Residents(BINDINGS);
    residents.take({ present: rows(2), hN: hidden(7) });
    residents.restore([]);
    expect(residents.inputs()).toEqual(new Residents(BINDINGS).inputs());
  });
});

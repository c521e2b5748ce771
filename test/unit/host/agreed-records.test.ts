import { describe, expect, it } from "vitest";
import { AgreedRecords } from "../../../src/host/agreed-records.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import { specsOf } from "../driver/world/model.ts";

const STAGES = 2;
const [spec] = specsOf(STAGES);
const KEY = { sessionId: "s", planId: "p", weights: "w" };

/** The state after run 4: two rows and a number. */
function record(rows: readonly number[]): CheckpointRecord {
  const tensors = [
    { input: "past0", appendAxis: 1, tensor: { type: "int32", dims: [1, 2, 2], data: Int32Array.from(rows) } as const },
    { input: "acc0", appendAxis: null, tensor: { type: "int32", dims: [1], data: Int32Array.of(7) } as const },
  ];
  return { run: 4, previous: null, state: "4", kept: [], versions: [{ version: "4", base: null, tensors }] };
}

const TRUE = [1, 2, 3, 4];

async function read(row: number, stored: Readonly<Record<number, readonly number[]>>) {
  const written: CheckpointRecord[] = [];
  const stores = {
    checkpointChain: async ({ stage }: { readonly stage: number }) => {
      const rows = stored[stage];
      return rows === undefined ? null : [record(rows)];
    },
    writeCheckpoint: async (key: { readonly stage: number }, one: CheckpointRecord) => {
      expect(key.stage).toBe(row);
      written.push(one);
      return 0;
    },
  };
  const agreed = new AgreedRecords(
    stores,
    spec as NonNullable<typeof spec>,
    { ...KEY, stage: row },
    { stages: STAGES, replicas: 3 },
  );
  const chain = await agreed.read(4);
  return { chain, written };
}

describe("stored state of replicas", () => {
  it("is used where most of them stored the same", async () => {
    const { chain, written } = await read(0, { 0: TRUE, 2: TRUE, 4: TRUE });
    expect(chain).toEqual([record(TRUE)]);
    expect(written).toEqual([]);
  });

  it.each([0, 2, 4])("of host %i, which lied, is replaced by a copy of what the others stored", async (liar) => {
    const stored = { 0: TRUE, 2: TRUE, 4: TRUE, [liar]: [1, 2, 3, 5] };
    const { chain, written } = await read(liar, stored);
    expect(chain).toEqual([record(TRUE)]);
    expect(written).toEqual([record(TRUE)]);
  });

  it("is copied to one that has none", async () => {
    expect((await read(2, { 0: TRUE, 4: TRUE })).written).toEqual([record(TRUE)]);
  });

  it("is not used where they differ, or where only one is left", async () => {
    expect((await read(0, { 0: TRUE, 2: [1, 2, 3, 5], 4: [1, 2, 3, 6] })).chain).toBeNull();
    expect((await read(0, { 0: TRUE })).chain).toBeNull();
  });
});

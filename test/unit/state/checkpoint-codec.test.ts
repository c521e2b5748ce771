import { describe, expect, it } from "vitest";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import {
  type CheckpointKey,
  chainTo,
  decodeCheckpoint,
  encodeCheckpoint,
  type StoredCheckpoint,
} from "../../../src/state/checkpoint-codec.ts";

const KEY: CheckpointKey = { sessionId: "s-1", stage: 2, planId: "plan-1" };
const RECORD: CheckpointRecord = {
  run: 32,
  previous: 16,
  tensors: [
    { input: "past", appendAxis: 2, tensor: { type: "float32", dims: [1, 1, 2], data: Float32Array.of(1.5, -2) } },
    { input: "position", appendAxis: null, tensor: { type: "int64", dims: [1], data: BigInt64Array.of(-7n) } },
    { input: "empty", appendAxis: 0, tensor: { type: "float16", dims: [0, 4], data: new Uint16Array(0) } },
  ],
};

describe("a stored checkpoint", () => {
  it("comes back as it was", async () => {
    expect(await decodeCheckpoint(KEY, await encodeCheckpoint(KEY, RECORD))).toEqual(RECORD);
  });
  it("is found under its session, stage and run", async () => {
    expect(await encodeCheckpoint(KEY, RECORD)).toMatchObject({ sessionId: "s-1", stage: 2, run: 32 });
  });
  it("holds copies: what happens to the tensors afterwards does not change it", async () => {
    const data = Float32Array.of(1);
    const stored = await encodeCheckpoint(KEY, {
      ...RECORD,
      tensors: [{ input: "x", appendAxis: null, tensor: { type: "float32", dims: [1], data } }],
    });
    data[0] = 2;
    expect((await decodeCheckpoint(KEY, stored))?.tensors[0]?.tensor.data[0]).toBe(1);
  });
});

describe("a damaged checkpoint is refused", () => {
  const changed = async (change: (stored: StoredCheckpoint) => Partial<StoredCheckpoint>) => {
    const stored = await encodeCheckpoint(KEY, RECORD);
    return decodeCheckpoint(KEY, { ...stored, ...change(stored) });
  };

  it("whichever byte of the payload is flipped", async () => {
    const { payload } = await encodeCheckpoint(KEY, RECORD);
    for (const at of payload.keys()) {
      const flip = payload.slice();
      flip[at] = (flip[at] as number) ^ 0x10;
      expect(await changed(() => ({ payload: flip }))).toBeNull();
    }
  });
  it("whichever character of the header is changed", async () => {
    const { header } = await encodeCheckpoint(KEY, RECORD);
    for (let at = 0; at < header.length; at += 3) {
      const other = String.fromCharCode(header.charCodeAt(at) ^ 1);
      expect(await changed(() => ({ header: header.slice(0, at) + other + header.slice(at + 1) }))).toBeNull();
    }
  });
  it("when its digest is another", async () => {
    expect(
      await changed(({ digest }) => ({ digest: digest.replace(/^./, (c) => (c === "0" ? "1" : "0")) })),
    ).toBeNull();
  });
  it("when it is cut short or grown", async () => {
    expect(await changed(({ payload }) => ({ payload: payload.slice(0, -1) }))).toBeNull();
    expect(await changed(({ payload }) => ({ payload: new Uint8Array([...payload, 0]) }))).toBeNull();
  });
  it("when it lies under another run", async () => {
    expect(await changed(() => ({ run: 33 }))).toBeNull();
  });
  it.each([
    ["session", { ...KEY, sessionId: "s-2" }],
    ["stage", { ...KEY, stage: 1 }],
    ["plan", { ...KEY, planId: "plan-2" }],
  ])("when it belongs to another %s", async (_, other) => {
    expect(await decodeCheckpoint(other, await encodeCheckpoint(KEY, RECORD))).toBeNull();
  });
});

describe("the chain of records to a run", () => {
  const records = (...links: (readonly [run: number, previous: number | null])[]) =>
    new Map(links.map(([run, previous]) => [run, { run, previous, tensors: [] }]));
  const runs = (chain: CheckpointRecord[] | null) => chain?.map(({ run }) => run) ?? null;

  it("starts at a complete record, oldest first", () => {
    expect(runs(chainTo(records([0, null], [16, 0], [32, 16], [48, 32]), 32))).toEqual([0, 16, 32]);
  });
  it("takes the sequence that the run belongs to", () => {
    expect(runs(chainTo(records([0, null], [16, 0], [20, null], [32, 20]), 32))).toEqual([20, 32]);
  });
  it.each([
    ["a link is missing", records([0, null], [32, 16])],
    ["the record itself is missing", records([0, null], [16, 0])],
    ["a link goes to itself", records([32, 32])],
    ["links go round in a circle", records([16, 32], [32, 16])],
  ])("is refused when %s", (_, broken) => {
    expect(chainTo(broken, 32)).toBeNull();
  });
});

import { describe, expect, it } from "vitest";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import {
  type CheckpointKey,
  chainTo,
  decodeCheckpoint,
  encodeCheckpoint,
  type StoredCheckpoint,
} from "../../../src/state/checkpoint-codec.ts";

const KEY: CheckpointKey = { sessionId: "s", stage: 1, planId: "p", weights: "w" };
const RECORD: CheckpointRecord = {
  run: 32,
  previous: 16,
  state: "32",
  kept: [{ key: "30", version: "30" }],
  versions: [
    { version: "30", base: "16", tensors: [] },
    {
      version: "32",
      base: "30",
      tensors: [
        { input: "past", appendAxis: 1, tensor: { type: "float32", dims: [1, 2, 1], data: Float32Array.of(1.5, -0) } },
        { input: "flags", appendAxis: null, tensor: { type: "bool", dims: [3], data: Uint8Array.of(1, 0, 1) } },
        {
          input: "count",
          appendAxis: null,
          tensor: { type: "int64", dims: [1], data: BigInt64Array.of(-(2n ** 60n)) },
        },
        { input: "none", appendAxis: 0, tensor: { type: "float64", dims: [0, 4], data: new Float64Array(0) } },
      ],
    },
  ],
};

const stored = (): Promise<StoredCheckpoint> => encodeCheckpoint(KEY, RECORD);

function flipText(text: string, at: number): string {
  return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
}

describe("a stored checkpoint", () => {
  it("comes back as it was, bit for bit", async () => {
    const back = await decodeCheckpoint(KEY, structuredClone(await stored()));
    expect(back).toEqual(RECORD);
    expect(Object.is(back?.versions[1]?.tensors[0]?.tensor.data[1], -0)).toBe(true);
  });

  it("keeps its own copy of a view's bytes only", async () => {
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    const record: CheckpointRecord = {
      run: 0,
      previous: null,
      state: "0",
      kept: [],
      versions: [
        {
          version: "0",
          base: null,
          tensors: [{ input: "x", appendAxis: null, tensor: { type: "float32", dims: [2], data } }],
        },
      ],
    };
    const encoded = await encodeCheckpoint(KEY, record);
    expect(encoded.payload.byteLength).toBe(8);
    data.fill(0);
    expect([...((await decodeCheckpoint(KEY, encoded))?.versions[0]?.tensors[0]?.tensor.data ?? [])]).toEqual([1, 2]);
  });

  it("is refused when any byte of its payload is flipped", async () => {
    const good = await stored();
    for (let at = 0; at < good.payload.length; at++) {
      const payload = good.payload.slice();
      payload[at] = (payload[at] as number) ^ 1;
      expect(await decodeCheckpoint(KEY, { ...good, payload }), `byte ${at}`).toBeNull();
    }
  });

  it("is refused when any character of its header or digest is changed", async () => {
    const good = await stored();
    for (const part of ["header", "digest"] as const) {
      for (let at = 0; at < good[part].length; at++) {
        const bad = { ...good, [part]: flipText(good[part], at) };
        expect(await decodeCheckpoint(KEY, bad), `${part} ${at}`).toBeNull();
      }
    }
  });

  it("is refused when it is cut short or longer", async () => {
    const good = await stored();
    const longer = new Uint8Array([...good.payload, 0]);
    for (const payload of [good.payload.subarray(0, -1), longer, new Uint8Array(0)])
      expect(await decodeCheckpoint(KEY, { ...good, payload, bytes: payload.byteLength })).toBeNull();
    expect(await decodeCheckpoint(KEY, { ...good, header: "" })).toBeNull();
  });

  it("is refused when the index tells another size than it has", async () => {
    const good = await stored();
    for (const bytes of [0, good.bytes + 1, good.bytes - 1])
      expect(await decodeCheckpoint(KEY, { ...good, bytes })).toBeNull();
  });

  it.each<[string, Partial<CheckpointKey>]>([
    ["session", { sessionId: "t" }],
    ["stage", { stage: 2 }],
    ["plan", { planId: "q" }],
    ["model", { weights: "x" }],
  ])("of another %s is refused though intact", async (_, other) => {
    expect(await decodeCheckpoint({ ...KEY, ...other }, await stored())).toBeNull();
  });

  it("that lies under another run's number is refused", async () => {
    expect(await decodeCheckpoint(KEY, { ...(await stored()), run: 16 })).toBeNull();
  });
});

describe("the chain of records that leads to a run", () => {
  const chainOf = (links: readonly (readonly [run: number, previous: number | null])[], run: number) =>
    chainTo(
      new Map(links.map(([at, previous]) => [at, { run: at, previous, state: null, kept: [], versions: [] }])),
      run,
    )?.map((record) => record.run) ?? null;

  it.each<[string, readonly (readonly [number, number | null])[], number, readonly number[] | null]>([
    ["is one full record", [[0, null]], 0, [0]],
    [
      "starts at the full record, oldest first",
      [
        [0, null],
        [16, 0],
        [32, 16],
      ],
      32,
      [0, 16, 32],
    ],
    [
      "leaves out what came later",
      [
        [0, null],
        [16, 0],
        [32, 16],
      ],
      16,
      [0, 16],
    ],
    [
      "starts at the sequence's own beginning",
      [
        [0, null],
        [16, 0],
        [20, null],
        [32, 20],
      ],
      32,
      [20, 32],
    ],
    ["is none without the run itself", [[0, null]], 16, null],
    [
      "is none with a link missing",
      [
        [0, null],
        [32, 16],
      ],
      32,
      null,
    ],
    [
      "is none without its beginning",
      [
        [16, 0],
        [32, 16],
      ],
      32,
      null,
    ],
    ["is none where a link leads to itself", [[16, 16]], 16, null],
    [
      "is none where links lead round",
      [
        [16, 32],
        [32, 16],
      ],
      32,
      null,
    ],
    [
      "is none where a link leads forward",
      [
        [16, 32],
        [32, null],
      ],
      16,
      null,
    ],
  ])("%s", (_, links, run, expected) => {
    expect(chainOf(links, run)).toEqual(expected);
  });
});

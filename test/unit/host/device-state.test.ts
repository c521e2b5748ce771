import { describe, expect, it } from "vitest";
import { arrayOf, bytesOf, elementCount } from "../../../src/base/bytes.ts";
import type { ByteRange, DeviceData, ElementType, WireTensor, WireTensors } from "../../../src/base/tensor.ts";
import { allOnHost, hasDeviceData, recordOnHost } from "../../../src/host/device-data.ts";
import { Residents } from "../../../src/host/residents.ts";
import type { CheckpointRecord } from "../../../src/protocol/host.ts";
import type { StateBinding } from "../../../src/shard/types.ts";

const BINDINGS: readonly StateBinding[] = [
  { input: { name: "past.k", type: "float16", dims: ["batch", 2, "rows", 3] }, output: "present.k", appendAxis: 2 },
  { input: { name: "acc", type: "float32", dims: [4] }, output: "acc.next", appendAxis: null },
];

/** Memory of a device: what was freed cannot be read, and what is being read was copied at once. */
class Memory {
  read = 0;
  readonly held = new Set<DeviceData>();

  /** Each block of rows counts from a thousand of its own, however many rows there are. */
  put(type: ElementType, dims: readonly number[], first: number): WireTensor {
    const data = new (arrayOf(type))(elementCount(dims));
    const block = data.length / (dims[1] ?? 1);
    for (let at = 0; at < data.length; at++) data[at] = first + Math.floor(at / block) * 1_000 + (at % block);
    const bytes = bytesOf({ type, dims, data });
    const device: DeviceData = {
      bytes: bytes.byteLength,
      read: async (ranges: readonly ByteRange[] = [{ from: 0, length: bytes.byteLength }]) => {
        if (!this.held.has(device)) throw new Error("read after it was freed");
        const parts = ranges.flatMap(({ from, length }) => [...bytes.subarray(from, from + length)]);
        this.read += parts.length;
        await new Promise(setImmediate);
        return Uint8Array.from(parts).buffer;
      },
      free: () => {
        if (!this.held.delete(device)) throw new Error("freed twice");
      },
    };
    this.held.add(device);
    return { type, dims, data: new (arrayOf(type))(0), device };
  }

  outputs(rows: number): WireTensors {
    return {
      "present.k": this.put("float16", [1, 2, rows, 3], 0),
      "acc.next": this.put("float32", [4], rows),
    };
  }
}

describe("state on a device", () => {
  it("is read back by its new rows only, and whole where it is replaced", async () => {
    const memory = new Memory();
    const residents = new Residents(BINDINGS);
    const records: CheckpointRecord[] = [];
    const read: number[] = [];
    for (const [run, rows] of [4, 5, 9].entries()) {
      residents.take(memory.outputs(rows), run);
      const record = residents.checkpoint(run);
      // The next run may free what is being read.
      residents.take(memory.outputs(rows), run);
      expect(hasDeviceData(record)).toBe(true);
      records.push(await recordOnHost(record));
      read.push(memory.read);
      memory.read = 0;
    }
    const rowBytes = 2 * 3 * 2;
    expect(read).toEqual([4, 1, 4].map((rows) => rows * rowBytes + 16));
    expect(records.some(hasDeviceData)).toBe(false);
  });

  it("comes back bit for bit, to be taken up by the device again", async () => {
    const memory = new Memory();
    const residents = new Residents(BINDINGS);
    const outputs = memory.outputs(6);
    residents.take(memory.outputs(2), 0);
    const first = await recordOnHost(residents.checkpoint(0));
    residents.take(outputs, 1);
    const second = await recordOnHost(residents.checkpoint(1));
    expect(second.previous).toBe(0);
    const other = new Residents(BINDINGS);
    other.restore([first, second]);
    const whole = await allOnHost(residents.inputs());
    expect(await allOnHost(other.inputs())).toEqual(whole);
    expect(elementCount(whole["past.k"]?.dims ?? [])).toBe(36);
  });

  it("is freed when nobody holds it: not the newest, not a handle", () => {
    const memory = new Memory();
    const residents = new Residents(BINDINGS);
    for (let run = 0; run < 5; run++) {
      residents.take(memory.outputs(run + 1), run);
      if (run === 1) residents.keep("1");
    }
    expect(memory.held.size).toBe(4);
    expect(residents.bytes).toBe(2 * 6 * 2 + 16 + (5 * 6 * 2 + 16));
    residents.branch("1");
    expect(memory.held.size).toBe(2);
    residents.drop("1");
    // It is the newest still.
    expect(memory.held.size).toBe(2);
    residents.reset();
    expect(memory.held.size).toBe(0);
  });

  it("is freed when another state is put in its place", async () => {
    const memory = new Memory();
    const residents = new Residents(BINDINGS);
    residents.take(memory.outputs(2), 0);
    residents.keep("0");
    residents.restore([await recordOnHost(residents.checkpoint(0))]);
    expect(memory.held.size).toBe(0);
    expect(residents.read("0")?.["past.k"]?.dims).toEqual([1, 2, 2, 3]);
  });
});

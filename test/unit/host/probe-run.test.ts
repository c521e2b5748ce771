import { afterAll, beforeAll, expect, it } from "vitest";
import { SAMPLE_BYTES_MAX } from "../../../src/base/limits.ts";
import type { WireTensor, WireTensors } from "../../../src/base/tensor.ts";
import { ProbeRun } from "../../../src/host/probe-run.ts";
import { Residents } from "../../../src/host/residents.ts";
import type { ShardSpec } from "../../../src/shard/types.ts";
import { onnxModel } from "../driver/world/onnx-model.ts";

// moby-llama's first stage in real onnxruntime.

let model: Awaited<ReturnType<typeof onnxModel>>;
let spec: ShardSpec;
beforeAll(async () => {
  model = await onnxModel("moby", 2);
  spec = model.specs[0] as ShardSpec;
}, 60_000);
afterAll(() => model.close());

const int64 = (values: readonly number[]): WireTensor => {
  return { type: "int64", dims: [1, values.length], data: BigInt64Array.from(values, BigInt) };
};
const execute = (inputs: WireTensors): Promise<WireTensors> => model.execute(spec, inputs);

/** A first run of a few tokens. */
async function ran(probe: ProbeRun, tokens = 3): Promise<{ inputs: WireTensors; outputs: WireTensors }> {
  const ids = Array.from({ length: tokens }, (_, at) => at + 100);
  const feeds: WireTensors = {
    input_ids: int64(ids),
    attention_mask: int64(ids.map(() => 1)),
    position_ids: int64(ids.map((_, at) => at)),
  };
  const own = Object.fromEntries(Object.entries(feeds).filter(([name]) => spec.inputs.includes(name)));
  const inputs = { ...new Residents(spec.state, spec.shapes).inputs(), ...own };
  const outputs = await execute(inputs);
  probe.ran(inputs, outputs);
  return { inputs, outputs };
}

/** Tensors that went to another process. */
function sent(tensors: WireTensors): void {
  for (const { data } of Object.values(tensors)) structuredClone(null, { transfer: [data.buffer as ArrayBuffer] });
}

it("gives the bits of the run that it does again, although that one's tensors were sent on", async () => {
  const probe = new ProbeRun(true);
  expect(await probe.probe(execute)).toBe("unknown");
  sent((await ran(probe)).outputs);
  expect(await probe.probe(execute)).toBe("same");
  expect(await probe.probe(execute)).toBe("same");
});

it("finds a host that gives one wrong bit; where a tolerance holds, one that gives another value", async () => {
  const wrong = (change: (data: Uint8Array) => void) => async (inputs: WireTensors) => {
    const outputs = await execute(inputs);
    const first = Object.values(outputs).find(({ type }) => type === "float32");
    if (first !== undefined) change(new Uint8Array(first.data.buffer, first.data.byteOffset, first.data.byteLength));
    return outputs;
  };
  const [exact, tolerant] = [new ProbeRun(true), new ProbeRun(false)];
  await ran(exact);
  await ran(tolerant);
  const lastBit = wrong((data) => {
    data[0] = (data[0] as number) ^ 1;
  });
  const other = wrong((data) => data.fill(0x42));
  expect(await exact.probe(lastBit)).toBe("differs");
  expect(await tolerant.probe(lastBit)).toBe("same");
  expect(await tolerant.probe(other)).toBe("differs");
});

it("keeps no large run, and says what the runtime says when it cannot run any more", async () => {
  const probe = new ProbeRun(true);
  const large: WireTensors = {
    x: { type: "float32", dims: [SAMPLE_BYTES_MAX], data: new Float32Array(SAMPLE_BYTES_MAX) },
  };
  probe.ran(large, {});
  expect(await probe.probe(execute)).toBe("unknown");
  await ran(probe);
  const dead = probe.probe(() => Promise.reject(new Error("RuntimeError: unreachable")));
  await expect(dead).rejects.toThrow("unreachable");
});

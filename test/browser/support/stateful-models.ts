/** Models with state, and what is fed to them step by step. */
import { type ModelCase, posted } from "../checks/models.ts";

export const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
const longs = (values: readonly number[], dims: readonly number[] = [1, values.length]) =>
  posted({ type: "int64", dims, data: BigInt64Array.from(values, BigInt) });
const floats = (dims: readonly number[], next: (index: number) => number) =>
  posted({
    type: "float32",
    dims,
    data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => next(i)),
  });

/** A recurrent state, replaced with each chunk of sound; the whole body is one `If`, so it runs in one host. */
export function silero(): ModelCase {
  return {
    model: { url: "/models/vad/silero_vad_v5.onnx" },
    steps: range(64).map((chunk) => ({
      input: floats([1, 512], (at) => Math.sin((chunk * 512 + at) / (7 + (chunk % 9)))),
      sr: longs([16_000], []),
    })),
    initial: { state: floats([2, 1, 128], () => 0) },
    stateBindings: { state: "stateN" },
    options: { shards: 1 },
  };
}

/** A KV cache in three hosts, of which each stores the rows that it gained. Longer than from one checkpoint to the next. */
export function moby(): ModelCase {
  const names = range(6).flatMap((layer) => [`${layer}.key`, `${layer}.value`]);
  return {
    model: { url: "/models/moby-llama/onnx/model.onnx" },
    steps: range(24).map((step) => ({
      input_ids: longs([300 + ((step * 37) % 1_500)]),
      attention_mask: longs(range(step + 1).map(() => 1)),
      position_ids: longs([step]),
    })),
    initial: Object.fromEntries(names.map((name) => [`past_key_values.${name}`, floats([1, 2, 0, 32], () => 0)])),
    stateBindings: Object.fromEntries(names.map((name) => [`past_key_values.${name}`, `present.${name}`])),
    options: { shards: 3 },
  };
}

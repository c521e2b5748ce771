/** What the pages do while faults come: generation, reading text and hearing speech, from three sites; and a model on the GPU. */

import { VOTE_TOLERANCE } from "../../src/base/limits.ts";
import { type ModelCase, type PostedFeeds, posted, postedFeeds } from "../browser/checks/models.ts";
import { moby, range, silero } from "../browser/support/stateful-models.ts";
import { generate, inMemory } from "../models/generate/index.ts";

export type Level = "medium" | "high" | "critical";
export const LEVELS: readonly Level[] = ["medium", "high", "critical"];
export type WorkName = "generation" | "ocr" | "vad" | "gpu";

/** As the page takes it, in JSON. */
export interface Work extends Omit<ModelCase, "model"> {
  readonly name: WorkName;
  /** Which of the three sites has it. */
  readonly site: 0 | 1 | 2;
  readonly model: string;
  /** 0: equal bit for bit; else the share of an output's largest value that an answer may be off by. */
  readonly tolerance: number;
  /** Between two answers. */
  readonly pauseMs: number;
  /** Prompts of generations, as token ids, and how many tokens each goes on for. */
  readonly prompts?: readonly (readonly number[])[];
  readonly newTokens?: number;
  readonly wantsGpu?: boolean;
  /** Only what downloads that go wrong are compared with: it does nothing of itself. */
  readonly waits?: boolean;
}

export const TINY_LLAMA = "/tiny-llama.onnx";
const NEW_TOKENS = 64;
const PROMPTS = [
  [300, 337, 1_205],
  [512, 44, 907, 1_300, 8],
  [1_024, 77],
];
/** A sound of 512 samples at 16 kHz lasts as long. */
const CHUNK_MS = 32;

/** As many as two cores carry: at critical each stage runs three times, so one generation in two stages is all. */
export function worksOf(level: Level, hub: string): Work[] {
  const at = (work: Work): Work => ({ ...work, options: { ...work.options, faultToleranceLevel: level } });
  if (level === "critical") return [at(generation()), { ...vad(), waits: true }];
  return [generation(), ocr(), vad(), gpu(hub)].map(at);
}

const onWasm = { executionProviders: ["wasm"] } as const;

function generation(): Work {
  const { model: _, ...rest } = moby();
  return {
    ...rest,
    name: "generation",
    site: 0,
    model: "/models/moby-llama/onnx/model.onnx",
    options: { ...onWasm, shards: 2 },
    tolerance: 0,
    pauseMs: 5,
    prompts: PROMPTS,
    newTokens: NEW_TOKENS,
  };
}

/** The recogniser over four lines of seeded noise. */
function ocr(): Work {
  const line = (index: number): PostedFeeds => {
    const data = Float32Array.from({ length: 3 * 48 * 160 }, (_, at) => Math.sin((at * (index + 3)) / 17));
    return { x: posted({ type: "float32", dims: [1, 3, 48, 160], data }) };
  };
  return {
    name: "ocr",
    site: 1,
    model: "/models/ocr/ch_PP-OCRv4_rec_infer.onnx",
    steps: range(4).map(line),
    initial: {},
    stateBindings: {},
    options: { ...onWasm, shards: 1 },
    tolerance: 0,
    pauseMs: 150,
  };
}

function vad(): Work {
  const { model: _, options, ...rest } = silero();
  return {
    ...rest,
    name: "vad",
    site: 2,
    model: "/models/vad/silero_vad_v5.onnx",
    options: { ...options, ...onWasm },
    tolerance: 0,
    pauseMs: CHUNK_MS,
  };
}

/** A language model of less than a megabyte with a KV cache: what an emulated GPU can run. */
function gpu(hub: string): Work {
  const part = tinyLlama();
  const bound = Object.keys(part.stateBindings);
  const pick = (feeds: PostedFeeds, isWanted: (name: string) => boolean): PostedFeeds =>
    Object.fromEntries(Object.entries(feeds).filter(([name]) => isWanted(name)));
  const first = postedFeeds(part.feeds("first"));
  const next = range(15).map((past) => postedFeeds(part.feeds("next", { past: past + 5 })));
  return {
    name: "gpu",
    site: 2,
    model: `${hub}${TINY_LLAMA}`,
    steps: [first, ...next].map((feeds) => pick(feeds, (name) => !bound.includes(name))),
    initial: pick(first, (name) => bound.includes(name)),
    stateBindings: part.stateBindings,
    options: { shards: 1, executionProviders: ["webgpu", "wasm"] },
    tolerance: VOTE_TOLERANCE,
    pauseMs: 100,
    wantsGpu: true,
  };
}

function tinyLlama() {
  const [part] = generate({ family: "llama", layers: 2 }).parts;
  if (part === undefined) throw new Error("a model without a part");
  return part;
}

export function tinyLlamaBytes(): Uint8Array {
  const bytes = inMemory(tinyLlama()).get("");
  if (bytes === undefined) throw new Error("a model without a file");
  return bytes;
}

import { bert } from "./bert.ts";
import { clap } from "./clap.ts";
import { clip } from "./clip.ts";
import { llama } from "./llama.ts";
import { type Draft, type GeneratedModel, modelOf } from "./model.ts";
import { type Family, type GenerateOptions, type Resolved, resolve } from "./options.ts";
import { t5 } from "./t5.ts";
import { vit } from "./vit.ts";
import { whisper } from "./whisper.ts";

export type { Feed, FeedOptions, Feeds } from "./feeds.ts";
export { bytesOf, type GeneratedModel, type GeneratedPart, inMemory, writeModel } from "./model.ts";
export { DTYPES, type Dtype, FAMILIES, type Family, type GenerateOptions } from "./options.ts";
export type { GeneratedFile } from "./serialise.ts";

const MAKERS: Readonly<Record<Family, (options: Resolved) => Draft[]>> = { llama, bert, vit, whisper, t5, clip, clap };

/**
 * A model with the structure that the usual exporters give its architecture and with seeded weights: its outputs are finite
 * and depend on all inputs, and mean nothing. Nothing is made before a file's chunks are read. Left out, sizes are tiny: 8 layers,
 * less than 1 MB. Throws a RangeError for sizes that no model has.
 */
export function generate(options: GenerateOptions): GeneratedModel {
  const resolved = resolve(options);
  return modelOf(resolved, MAKERS[options.family](resolved));
}

/** The benchmark's model: 102 MB of fp32 in one file, with the vocabulary and context of moby-llama's tokenizer. */
export const BENCH_100MB: GenerateOptions = {
  family: "llama",
  layers: 8,
  hidden: 512,
  heads: 8,
  kvHeads: 4,
  intermediate: 1472,
  vocab: 2048,
  context: 512,
  tied: true,
};

/** 6 GB of fp32 in one external file, more than 4 GB: no buffer, and no 32-bit offset, holds it. */
export const LARGE_6GB: GenerateOptions = {
  family: "llama",
  layers: 32,
  hidden: 2048,
  heads: 32,
  kvHeads: 8,
  intermediate: 5632,
  vocab: 32_000,
  context: 2048,
  tied: true,
  externalFiles: 1,
};

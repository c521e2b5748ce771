import type { Settings } from "./builder.ts";
import { FLOAT, FLOAT16 } from "./weights.ts";

export const FAMILIES = ["llama", "bert", "vit", "whisper", "t5", "clip", "clap"] as const;
export type Family = (typeof FAMILIES)[number];

/**
 * How numbers are kept: `fp16` halves weights and activations; `int8-qdq` has Q/DQ pairs with per-channel scales, `int8-dynamic`
 * quantises activations while running; `int4` is MatMulNBits with fp32 activations, `int4-fp16` with half ones.
 */
export const DTYPES = ["fp32", "fp16", "int8-qdq", "int8-dynamic", "int4", "int4-fp16"] as const;
export type Dtype = (typeof DTYPES)[number];

export const SETTINGS: Readonly<Record<Dtype, Pick<Settings, "float" | "linear">>> = {
  fp32: { float: FLOAT, linear: "float" },
  fp16: { float: FLOAT16, linear: "float" },
  "int8-qdq": { float: FLOAT, linear: "qdq" },
  "int8-dynamic": { float: FLOAT, linear: "dynamic" },
  int4: { float: FLOAT, linear: "int4" },
  "int4-fp16": { float: FLOAT16, linear: "int4" },
};

/** The size of a transformer; two towers, or encoder and decoder, have all but the layers in common. */
export interface Size {
  readonly layers: number;
  /** Of the decoder, or of the text tower; left out, half of `layers`. */
  readonly otherLayers: number;
  readonly hidden: number;
  readonly heads: number;
  /** Divides `heads`; llama only. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of the MLP. */
  readonly intermediate: number;
  readonly vocab: number;
  /** The longest sequence that tables of positions know. */
  readonly context: number;
  /** Side of the square picture, and of its patches. */
  readonly image: number;
  readonly patch: number;
  /** Bins and frames of a spectrogram. */
  readonly mels: number;
  readonly frames: number;
}

export interface GenerateOptions extends Partial<Size> {
  readonly family: Family;
  readonly dtype?: Dtype;
  /** llama: plain ONNX operators as optimum writes them, or the fused ones of com.microsoft as onnxruntime-genai does. */
  readonly variant?: "plain" | "fused";
  /** whisper and t5: one file without a cache, or an encoder and a merged decoder with one. */
  readonly form?: "one" | "two";
  /**
   * What the merged decoder's branch with a cache gives for the encoder's keys and values: what came in, or, as optimum's
   * exports do, tensors of no elements. Then these stay those of the first run, and are no bound state.
   */
  readonly crossCache?: "passed" | "empty";
  /** llama: the output projection is the embedding table. */
  readonly tied?: boolean;
  readonly seed?: number;
  /** 17 to 21. */
  readonly opset?: number;
  /** 3 to 13; 3 lists weights as graph inputs. */
  readonly ir?: number;
  /** Into how many files, at most, weights go beside the model file; 0: none. */
  readonly externalFiles?: number;
}

export type Resolved = Required<GenerateOptions>;

const TINY: Size = {
  layers: 8,
  otherLayers: 4,
  hidden: 32,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  intermediate: 64,
  vocab: 96,
  context: 64,
  image: 16,
  patch: 4,
  mels: 16,
  frames: 32,
};

/** Where the usual tiny size would make a file of more than 1 MB. */
const SMALLER: Readonly<Partial<Record<Family, Partial<Size>>>> = { clap: { hidden: 16, heads: 2 } };

/** Four bits each, the usual tiny matrices would be shorter than what exporters keep outside. */
const WIDER: Partial<Size> = { hidden: 48, heads: 4 };

const OPSETS = { min: 17, max: 21 };
const IRS = { min: 3, max: 13 };

/** Throws a RangeError for sizes that no model has. */
export function resolve(options: GenerateOptions): Resolved {
  const isInt4 = options.dtype?.startsWith("int4") ?? false;
  const tiny = { ...TINY, ...SMALLER[options.family], ...(isInt4 ? WIDER : {}) };
  const { hidden = tiny.hidden, heads = tiny.heads, layers = tiny.layers } = options;
  const defaults = {
    dtype: "fp32",
    variant: "plain",
    form: "one",
    crossCache: "passed",
    tied: false,
    seed: 1,
    opset: 17,
    ir: 8,
  } as const;
  // GroupQueryAttention takes heads of 16, 32, … only.
  const headDim = options.variant === "fused" ? Math.ceil(hidden / heads / 16) * 16 : hidden / heads;
  const shape = {
    otherLayers: Math.ceil(layers / 2),
    headDim,
    kvHeads: heads % 2 === 0 ? heads / 2 : heads,
    intermediate: hidden * 2,
  };
  const resolved: Resolved = { ...tiny, ...defaults, ...shape, externalFiles: 0, ...options };
  const { kvHeads, opset, ir, image, patch, frames, mels } = resolved;
  const bad = (text: string): never => {
    throw new RangeError(`${options.family}: ${text}`);
  };
  if (heads % kvHeads !== 0) bad(`${kvHeads} KV heads do not divide ${heads} heads`);
  if (resolved.headDim % 2 !== 0) bad(`a head of ${resolved.headDim} cannot be rotated`);
  if (image % patch !== 0) bad(`patches of ${patch} do not tile ${image}`);
  for (const side of options.family === "clap" ? [frames / patch, mels / patch] : []) {
    if (side < 2 || !Number.isInteger(Math.log2(side))) bad(`a spectrogram of ${frames} × ${mels} has no windows`);
  }
  if (opset < OPSETS.min || opset > OPSETS.max) bad(`opset ${opset} is not 17 to 21`);
  if (ir < IRS.min || ir > IRS.max) bad(`IR ${ir} is not 3 to 13`);
  return resolved;
}

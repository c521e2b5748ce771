import { type FeedOptions, type GenerateOptions, generate, inMemory } from "../models/generate/index.ts";
import { compare, type ModelCase, type PostedFeeds, posted, postedFeeds } from "./checks/models.ts";
import { expect, test } from "./harness/fixtures.ts";

const SLOW = 240_000;
const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
const longs = (values: readonly number[]) =>
  posted({ type: "int64", dims: [1, values.length], data: BigInt64Array.from(values, BigInt) });

/** Seeded numbers between -1 and 1 (a linear congruence): any input will do, as long as both sides get the same. */
function noise(dims: readonly number[], seed: number): PostedFeeds[string] {
  let state = seed;
  const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return posted({ type: "float32", dims, data });
}

const layers = range(6).flatMap((layer) => [`${layer}.key`, `${layer}.value`]);
const MOBY: Omit<ModelCase, "options"> = {
  model: { url: "/models/moby-llama/onnx/model.onnx" },
  steps: [[68, 390, 398, 314], [854], [1675]].map((ids, step) => {
    const past = [0, 4, 5][step] ?? 0;
    const mask = range(past + ids.length).map(() => 1);
    return {
      input_ids: longs(ids),
      attention_mask: longs(mask),
      position_ids: longs(ids.map((_, at) => past + at)),
    };
  }),
  initial: Object.fromEntries(layers.map((name) => [`past_key_values.${name}`, noise([1, 2, 0, 32], 1)])),
  stateBindings: Object.fromEntries(layers.map((name) => [`past_key_values.${name}`, `present.${name}`])),
};

for (const shardingStrategy of [
  "layer_based",
  "component_based",
  "balanced",
  "hardware_aware",
  "browser_optimized",
  "auto",
] as const) {
  test(`moby-llama cut by ${shardingStrategy} has the bits of plain onnxruntime-web`, async ({ page }) => {
    test.setTimeout(SLOW);
    const found = await compare(page, { ...MOBY, options: { shards: 3, shardingStrategy } });
    expect(found).toMatchObject({ difference: null, stages: 3, outputs: 3 });
    if (shardingStrategy !== "auto") expect(found.strategy).toBe(shardingStrategy);
    else expect(found.strategy).not.toBe("auto");
  });
}

const stateless = { initial: {}, stateBindings: {} };
const asset = (path: string) => ({ url: `/models/${path}` });
const WHOLE_OR_CUT: readonly (readonly [string, Omit<ModelCase, "options">, number])[] = [
  [
    "the OCR detector",
    { ...stateless, model: asset("ocr/ch_PP-OCRv4_det_infer.onnx"), steps: [{ x: noise([1, 3, 96, 128], 2) }] },
    4,
  ],
  [
    "the OCR classifier",
    {
      ...stateless,
      model: asset("ocr/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
      steps: [{ x: noise([1, 3, 48, 192], 3) }],
    },
    3,
  ],
  [
    "openWakeWord's spectrogram",
    { ...stateless, model: asset("wake-word/melspectrogram.onnx"), steps: [{ input: noise([1, 8_000], 4) }] },
    1,
  ],
  [
    "openWakeWord's embedding",
    { ...stateless, model: asset("wake-word/embedding_model.onnx"), steps: [{ input_1: noise([1, 76, 32, 1], 5) }] },
    1,
  ],
  [
    "a wake word",
    { ...stateless, model: asset("wake-word/alexa_v0.1.onnx"), steps: [{ "onnx::Flatten_0": noise([1, 16, 96], 6) }] },
    1,
  ],
  [
    "silero VAD with its state",
    {
      model: asset("vad/silero_vad_v5.onnx"),
      steps: range(4).map((chunk) => ({
        input: noise([1, 512], 20 + chunk),
        sr: posted({ type: "int64", dims: [], data: BigInt64Array.of(16_000n) }),
      })),
      initial: { state: posted({ type: "float32", dims: [2, 1, 128], data: new Float32Array(256) }) },
      stateBindings: { state: "stateN" },
    },
    1,
  ],
];

for (const [name, model, shards] of WHOLE_OR_CUT) {
  test(`${name} in ${shards} has the bits of plain onnxruntime-web`, async ({ page }) => {
    test.setTimeout(SLOW);
    const found = await compare(page, { ...model, options: { shards, shardingStrategy: "balanced" } });
    expect(found).toMatchObject({ difference: null, stages: shards });
    expect(found.outputs).toBeGreaterThan(0);
  });
}

/** One model of each family, and each way of keeping numbers, in two shards. */
const SEEDED: readonly GenerateOptions[] = [
  { family: "llama", variant: "fused", dtype: "fp16" },
  { family: "llama", dtype: "int4", tied: true },
  { family: "bert", dtype: "int8-qdq" },
  { family: "vit", dtype: "fp32", ir: 3 },
  { family: "whisper", dtype: "fp32" },
  { family: "t5", dtype: "int8-dynamic" },
  { family: "clip", dtype: "fp32" },
  { family: "clap", dtype: "int8-qdq" },
];

test("seeded models of every family in two shards have the bits of plain onnxruntime-web", async ({ page }) => {
  test.setTimeout(SLOW);
  for (const options of SEEDED) {
    const [part] = generate(options).parts;
    if (part === undefined) throw new Error("a model without parts");
    const state = Object.keys(part.stateBindings);
    const first = postedFeeds(part.feeds("first"));
    const pick = (names: (name: string) => boolean) =>
      Object.fromEntries(Object.entries(first).filter(([n]) => names(n)));
    const next = (past: number): PostedFeeds => postedFeeds(part.feeds("next", { past } satisfies FeedOptions));
    const found = await compare(page, {
      model: { base64: Buffer.from(inMemory(part).get("") ?? []).toString("base64") },
      steps: [pick((name) => !state.includes(name)), ...(state.length > 0 ? [next(5), next(6)] : [])],
      initial: pick((name) => state.includes(name)),
      stateBindings: part.stateBindings,
      options: { shards: 2, shardingStrategy: "auto", stateBindings: part.stateBindings },
    });
    expect(found, JSON.stringify(options)).toMatchObject({ difference: null, stages: 2 });
  }
});

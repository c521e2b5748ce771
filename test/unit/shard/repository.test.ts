import { expect, it } from "vitest";
import { componentsOfRepository } from "../../../src/shard/repository.ts";

const rolesOf = (paths: readonly string[]): string[] =>
  componentsOfRepository(paths).map(({ role, path }) => `${role}: ${path}`);

it("an encoder–decoder's merged decoder stands for the others", () => {
  const paths = ["decoder_model", "decoder_model_merged", "decoder_with_past_model", "encoder_model"];
  expect(rolesOf(["config.json", ...paths.map((name) => `onnx/${name}.onnx`)])).toEqual([
    "encoder: onnx/encoder_model.onnx",
    "decoder: onnx/decoder_model_merged.onnx",
  ]);
});

it("without a merged one both decoders are components", () => {
  expect(rolesOf(["encoder_model.onnx", "decoder_with_past_model.onnx", "decoder_model.onnx"])).toEqual([
    "encoder: encoder_model.onnx",
    "decoder with past: decoder_with_past_model.onnx",
    "decoder: decoder_model.onnx",
  ]);
});

it("variants of one component are one component", () => {
  const paths = ["model.onnx", "model_fp16.onnx", "model_q4f16.onnx", "model_quantized.onnx"];
  expect(componentsOfRepository(paths)).toEqual([
    {
      role: "model",
      path: "model.onnx",
      variants: {
        "": "model.onnx",
        fp16: "model_fp16.onnx",
        q4f16: "model_q4f16.onnx",
        quantized: "model_quantized.onnx",
      },
    },
  ]);
  expect(componentsOfRepository(["model_q4.onnx"])[0]?.path).toBe("model_q4.onnx");
});

it.each<[string, string[], string[]]>([
  [
    "PP-OCRv4",
    ["ch_PP-OCRv4_det_infer", "ch_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer"],
    ["detector", "classifier", "recogniser"],
  ],
  ["CLIP", ["text_model", "vision_model"], ["vision encoder", "text encoder"]],
  ["CLAP", ["audio_model", "text_model"], ["audio encoder", "text encoder"]],
  [
    "a vision–language model",
    ["decoder_model_merged", "embed_tokens", "vision_encoder"],
    ["embedding", "vision encoder", "decoder"],
  ],
  ["openWakeWord", ["alexa_v0.1", "embedding_model", "melspectrogram"], ["features", "embedding", "alexa_v0.1"]],
  ["SAM", ["vision_encoder", "prompt_encoder_mask_decoder"], ["vision encoder", "decoder"]],
])("%s", (_, names, roles) => {
  expect(componentsOfRepository(names.map((name) => `${name}.onnx`)).map(({ role }) => role)).toEqual(roles);
});

it("knows nothing of no files", () => {
  expect(componentsOfRepository(["README.md", "model.onnx_data"])).toEqual([]);
});

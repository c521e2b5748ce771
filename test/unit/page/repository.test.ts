import { afterEach, describe, expect, it, vi } from "vitest";
import { isRepository, modelsOf } from "../../../src/page/repository.ts";

const folderOf = (...names: string[]) => names.map((name) => new File(["x"], name));
const FILES = folderOf("encoder_model.onnx", "encoder_model_fp16.onnx", "decoder_model_merged.onnx", "config.json");

function hub(status: number, body: unknown) {
  const asked: string[] = [];
  vi.stubGlobal("location", { href: "https://site.example/" });
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    return new Response(JSON.stringify(body), { status });
  });
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

describe("the models of a repository", () => {
  it("of picked files are named by what they do", async () => {
    expect(await modelsOf(FILES, null)).toEqual({
      encoder: { files: FILES, file: "encoder_model.onnx" },
      decoder: { files: FILES, file: "decoder_model_merged.onnx" },
    });
    const ocr = folderOf(
      "ch_PP-OCRv4_rec_infer.onnx",
      "ch_PP-OCRv4_det_infer.onnx",
      "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    );
    expect(Object.keys(await modelsOf({ files: ocr }, null))).toEqual(["detector", "classifier", "recogniser"]);
    const towers = folderOf("vision_model.onnx", "text_model.onnx");
    expect(Object.keys(await modelsOf(towers, null))).toEqual(["visionEncoder", "textEncoder"]);
  });

  it("of one role are told apart by their names", async () => {
    const two = folderOf("line_det.onnx", "face_det.onnx");
    expect(Object.keys(await modelsOf(two, null))).toEqual(["face_det", "line_det"]);
  });

  it("are the variant that was asked for, or an error that says what there is", async () => {
    const only = folderOf("encoder_model.onnx", "encoder_model_fp16.onnx");
    expect(await modelsOf(only, "fp16")).toEqual({ encoder: { files: only, file: "encoder_model_fp16.onnx" } });
    await expect(modelsOf(FILES, "fp16")).rejects.toMatchObject({
      code: "BAD_OPTIONS",
      message: expect.stringContaining("decoder has no variant fp16; there is the plain one"),
    });
    await expect(modelsOf(FILES, "constructor")).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  });

  it("of a hub are found by its list of files", async () => {
    const siblings = ["onnx/encoder_model.onnx", "README.md", "onnx/decoder_model_merged.onnx"];
    const asked = hub(200, { siblings: siblings.map((rfilename) => ({ rfilename })) });
    expect(await modelsOf({ repo: "org/whisper", revision: "v 1" }, null)).toEqual({
      encoder: { repo: "org/whisper", revision: "v 1", file: "onnx/encoder_model.onnx" },
      decoder: { repo: "org/whisper", revision: "v 1", file: "onnx/decoder_model_merged.onnx" },
    });
    expect(asked).toEqual(["https://huggingface.co/api/models/org/whisper/revision/v%201"]);
  });

  it("that are not there are an error that says so", async () => {
    await expect(modelsOf(folderOf("readme.txt"), null)).rejects.toMatchObject({ code: "BAD_OPTIONS" });
    hub(404, {});
    await expect(modelsOf({ repo: "org/none" }, null)).rejects.toMatchObject({ code: "MODEL_FETCH_FAILED" });
    await expect(modelsOf({ repo: "none" }, null)).rejects.toMatchObject({ code: "BAD_OPTIONS" });
  });

  it("are told from models that were named one by one", () => {
    expect([FILES, { files: FILES }, { repo: "org/name" }].map(isRepository)).toEqual([true, true, true]);
    expect([{ det: "det.onnx" }, { encoder: FILES }, "org/name", null, []].map(isRepository)).toEqual(
      Array(5).fill(false),
    );
  });
});

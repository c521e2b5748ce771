/** Detect, then recognise line by line. What computes is given from outside: Holdfast on the page, anything in a test. */
import { detectorPlanes, type TextBox, textBoxes } from "./detect.ts";
import type { Picture, Planes } from "./picture.ts";
import { type ReadLine, readColumns, recogniserPlanes } from "./recognise.ts";

export interface Models {
  /** Answers `height` × `width` probabilities. */
  detect(planes: Planes): Promise<{ readonly data: Float32Array; readonly width: number; readonly height: number }>;
  /** Answers columns × classes probabilities. */
  recognise(planes: Planes): Promise<Float32Array>;
}

export type Reading =
  | { readonly step: "found"; readonly boxes: readonly TextBox[]; readonly ms: number }
  | { readonly step: "read"; readonly index: number; readonly line: ReadLine; readonly ms: number };

/** Times are those of the models' runs, what comes before and after them on the page included. */
export async function* readPicture(
  picture: Picture,
  models: Models,
  classes: readonly string[],
): AsyncGenerator<Reading> {
  const begin = performance.now();
  const boxes = textBoxes(await models.detect(detectorPlanes(picture)), picture);
  yield { step: "found", boxes, ms: performance.now() - begin };
  for (const [index, { box }] of boxes.entries()) {
    const start = performance.now();
    const line = readColumns(await models.recognise(recogniserPlanes(picture, box)), classes);
    yield { step: "read", index, line, ms: performance.now() - start };
  }
}

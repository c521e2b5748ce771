/** What a line of text says: feeds and answers of PP-OCRv4's recogniser, which answers one character class per column (CTC). */
import { pointIn, type TurnedRectangle } from "./geometry.ts";
import { type Normalisation, type Picture, type Planes, samplePlanes } from "./picture.ts";

export const RECOGNISER_INPUT = "x";
export const RECOGNISER_OUTPUT = "softmax_11.tmp_0";

/** Rows of pixels the recogniser reads. */
const LINE_HEIGHT = 48;
/** PaddleOCR's shortest line; a shorter one is filled up with zeros, as in training. */
const LINE_WIDTH_MIN = 320;
/** A bound on what one run may ask of a host. */
const LINE_WIDTH_MAX = 3_200;

const HALVES: Normalisation = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

export interface ReadLine {
  readonly text: string;
  /** Mean probability of the characters, 0 to 1; 0 when there is none. */
  readonly score: number;
}

/** Feeds of the recogniser: the turned box, straightened, 48 high, its proportions kept. */
export function recogniserPlanes(picture: Picture, box: TurnedRectangle): Planes {
  const width = Math.min(Math.max(1, Math.ceil((LINE_HEIGHT * box.width) / box.height)), LINE_WIDTH_MAX);
  const size = { width, height: LINE_HEIGHT, planeWidth: Math.max(width, LINE_WIDTH_MIN) };
  return samplePlanes(picture, size, HALVES, (x, y) =>
    pointIn(box, (x * box.width) / width, (y * box.height) / LINE_HEIGHT),
  );
}

/** The recogniser's classes from its key file: the blank first, then one key a line, then the space. */
export function characterClasses(keyFile: string): string[] {
  const keys = keyFile.split(/\r?\n/);
  if (keys.at(-1) === "") keys.pop();
  return ["", ...keys, " "];
}

/**
 * Greedy CTC: the likeliest class of each column; repetitions are one character, blanks none.
 * @param columns `count` × `classes.length` probabilities
 */
export function readColumns(columns: Float32Array, classes: readonly string[]): ReadLine {
  const count = Math.floor(columns.length / classes.length);
  let text = "";
  let sum = 0;
  let characters = 0;
  let previous = 0;
  for (let column = 0; column < count; column++) {
    const [best, probability] = likeliest(columns.subarray(column * classes.length, (column + 1) * classes.length));
    if (best !== 0 && best !== previous) {
      text += classes[best] ?? "";
      sum += probability;
      characters++;
    }
    previous = best;
  }
  return { text, score: characters === 0 ? 0 : sum / characters };
}

function likeliest(row: Float32Array): readonly [index: number, value: number] {
  let best = 0;
  for (let index = 1; index < row.length; index++) {
    if ((row[index] ?? 0) > (row[best] ?? 0)) best = index;
  }
  return [best, row[best] ?? 0];
}

/**
 * Where the lines of text are: feeds and answers of PP-OCRv4's detector, which is a DB network.
 * Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", https://arxiv.org/abs/1911.08947;
 * the constants are PaddleOCR's defaults (tools/infer/utility.py).
 */
import { convexHull, leastRectangle, pointIn, type TurnedRectangle } from "./geometry.ts";
import { type Normalisation, type Picture, type Planes, type Point, samplePlanes } from "./picture.ts";

export const DETECTOR_INPUT = "x";
export const DETECTOR_OUTPUT = "sigmoid_0.tmp_0";

/** The network halves the picture five times. */
const SIDE_MULTIPLE = 32;
const SIDE_MAX = 960;
/** A pixel above this belongs to text. */
const PIXEL_THRESHOLD = 0.3;
/** A region whose mean is below this is not text. */
const REGION_THRESHOLD = 0.6;
/** The network learns regions shrunk by this law; they are grown back by `area * ratio / perimeter`. */
const UNCLIP_RATIO = 1.5;
const SIDE_MIN = 3;
const REGIONS_MAX = 200;

/** What ImageNet's pictures average to, as every backbone trained on it wants them. */
const IMAGENET: Normalisation = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

export interface TextBox {
  /** In pixels of the picture. */
  readonly box: TurnedRectangle;
  /** Mean probability over the region, 0 to 1. */
  readonly score: number;
}

/** Feeds of the detector: the picture at most 960 on its longer side, both sides multiples of 32. */
export function detectorPlanes(picture: Picture): Planes {
  const scale = Math.min(1, SIDE_MAX / Math.max(picture.width, picture.height));
  const width = toMultiple(picture.width * scale);
  const height = toMultiple(picture.height * scale);
  return samplePlanes(picture, { width, height }, IMAGENET, (x, y) => ({
    x: (x * picture.width) / width,
    y: (y * picture.height) / height,
  }));
}

function toMultiple(side: number): number {
  return Math.max(SIDE_MULTIPLE, Math.round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE);
}

/**
 * The detector's answer, a probability per pixel, as boxes in reading order.
 * @param map `height` × `width` probabilities
 */
export function textBoxes(
  map: { readonly data: Float32Array; readonly width: number; readonly height: number },
  picture: { readonly width: number; readonly height: number },
): TextBox[] {
  const boxes: TextBox[] = [];
  for (const region of regions(map)) {
    const found = leastRectangle(convexHull(region.outline));
    if (region.score < REGION_THRESHOLD || Math.min(found.width, found.height) < SIDE_MIN) continue;
    boxes.push({
      box: scaled(unclipped(found), picture.width / map.width, picture.height / map.height),
      score: region.score,
    });
    if (boxes.length === REGIONS_MAX) break;
  }
  return inReadingOrder(boxes);
}

interface Region {
  /** Both ends of each row: the hull needs no more. */
  readonly outline: Point[];
  readonly score: number;
}

/** Connected regions above the threshold, eight neighbours each, found by flooding from the first pixel of each. */
function* regions({ data, width, height }: { data: Float32Array; width: number; height: number }): Generator<Region> {
  const seen = new Uint8Array(width * height);
  const isText = (at: number): boolean => seen[at] === 0 && (data[at] ?? 0) > PIXEL_THRESHOLD;
  for (let start = 0; start < data.length; start++) {
    if (!isText(start)) continue;
    const ends = new Map<number, { left: number; right: number }>();
    const open = [start];
    let sum = 0;
    let pixels = 0;
    seen[start] = 1;
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const x = at % width;
      const y = (at - x) / width;
      sum += data[at] ?? 0;
      pixels++;
      const row = ends.get(y);
      ends.set(y, { left: Math.min(row?.left ?? x, x), right: Math.max(row?.right ?? x, x) });
      for (let down = Math.max(y - 1, 0); down <= Math.min(y + 1, height - 1); down++) {
        for (let across = Math.max(x - 1, 0); across <= Math.min(x + 1, width - 1); across++) {
          const next = down * width + across;
          if (!isText(next)) continue;
          seen[next] = 1;
          open.push(next);
        }
      }
    }
    yield { outline: [...ends].flatMap(([y, row]) => pixelCorners(row.left, row.right, y)), score: sum / pixels };
  }
}

/** A pixel covers an area: its far corners count, or a row of pixels would have no height. */
function pixelCorners(left: number, right: number, y: number): Point[] {
  return [
    { x: left, y },
    { x: right + 1, y },
    { x: right + 1, y: y + 1 },
    { x: left, y: y + 1 },
  ];
}

function unclipped(box: TurnedRectangle): TurnedRectangle {
  const distance = (box.width * box.height * UNCLIP_RATIO) / (2 * (box.width + box.height));
  return { ...box, width: box.width + 2 * distance, height: box.height + 2 * distance };
}

/** The sides were rounded to multiples of 32, so the two scales differ a little and the box turns with them. */
function scaled(box: TurnedRectangle, x: number, y: number): TurnedRectangle {
  const along = { x: Math.cos(box.angle) * box.width * x, y: Math.sin(box.angle) * box.width * y };
  const across = { x: -Math.sin(box.angle) * box.height * x, y: Math.cos(box.angle) * box.height * y };
  return {
    centre: { x: box.centre.x * x, y: box.centre.y * y },
    width: Math.hypot(along.x, along.y),
    height: Math.hypot(across.x, across.y),
    angle: Math.atan2(along.y, along.x),
  };
}

/** Top to bottom; boxes whose centres lie within half a line of each other are one line, read from the left. */
function inReadingOrder(boxes: readonly TextBox[]): TextBox[] {
  const lines: TextBox[][] = [];
  for (const box of [...boxes].sort((a, b) => a.box.centre.y - b.box.centre.y)) {
    const line = lines.at(-1);
    const last = line?.at(-1)?.box;
    if (line && last && box.box.centre.y - last.centre.y < last.height / 2) line.push(box);
    else lines.push([box]);
  }
  return lines.flatMap((line) => line.sort((a, b) => pointIn(a.box, 0, 0).x - pointIn(b.box, 0, 0).x));
}

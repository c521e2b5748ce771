/** An RGBA picture, row by row, as a canvas gives it (`ImageData` fits). */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/** A float32 tensor in NCHW order, ready to be fed. */
export interface Planes {
  readonly data: Float32Array<ArrayBuffer>;
  readonly dims: readonly [1, 3, number, number];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** `(value / 255 - mean) / std`, one pair per channel. */
export interface Normalisation {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** PaddleOCR reads its pictures with OpenCV, so its models saw blue first: plane 0 is B, 1 is G, 2 is R. */
const CHANNEL_OF_PLANE = [2, 1, 0] as const;

/**
 * Samples `picture` at `width` × `height` points into planes `planeWidth` wide; what lies right of `width` stays 0.
 * `sourceOf` says which point of the picture, in pixels from its top left corner, belongs to a point of the result.
 */
export function samplePlanes(
  picture: Picture,
  size: { readonly width: number; readonly height: number; readonly planeWidth?: number },
  normalisation: Normalisation,
  sourceOf: (x: number, y: number) => Point,
): Planes {
  const planeWidth = size.planeWidth ?? size.width;
  const planeSize = planeWidth * size.height;
  const data = new Float32Array(3 * planeSize);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      // Points are pixel centres on both sides, or the result would be shifted by half a pixel.
      const source = sourceOf(x + 0.5, y + 0.5);
      for (let plane = 0; plane < 3; plane++) {
        const value = sampleChannel(picture, source.x - 0.5, source.y - 0.5, CHANNEL_OF_PLANE[plane] ?? 0);
        const mean = normalisation.mean[plane] ?? 0;
        const std = normalisation.std[plane] ?? 1;
        data[plane * planeSize + y * planeWidth + x] = (value / 255 - mean) / std;
      }
    }
  }
  return { data, dims: [1, 3, size.height, planeWidth] };
}

/** Bilinear; beyond the edge the nearest pixel goes on. */
function sampleChannel(picture: Picture, x: number, y: number, channel: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const towardsRight = x - left;
  const towardsBottom = y - top;
  const upper = mix(pixel(picture, left, top, channel), pixel(picture, left + 1, top, channel), towardsRight);
  const lower = mix(pixel(picture, left, top + 1, channel), pixel(picture, left + 1, top + 1, channel), towardsRight);
  return mix(upper, lower, towardsBottom);
}

function pixel({ width, height, data }: Picture, x: number, y: number, channel: number): number {
  const column = Math.min(Math.max(x, 0), width - 1);
  const row = Math.min(Math.max(y, 0), height - 1);
  return data[(row * width + column) * 4 + channel] ?? 0;
}

function mix(from: number, to: number, share: number): number {
  return from + (to - from) * share;
}

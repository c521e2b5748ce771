import { inflateSync } from "node:zlib";
import type { Picture } from "../../../src/demo/ocr/picture.ts";

const BYTES_OF_COLOUR_TYPE: Readonly<Record<number, number>> = { 2: 3, 6: 4 };

/** Decodes the PNGs our fixtures use: eight bits a channel, RGB or RGBA, not interlaced. https://www.w3.org/TR/png/ */
export function decodePng(file: Buffer): Picture {
  const width = file.readUInt32BE(16);
  const height = file.readUInt32BE(20);
  const bytes = BYTES_OF_COLOUR_TYPE[file.readUInt8(25)];
  if (bytes === undefined || file.readUInt8(24) !== 8 || file.readUInt8(28) !== 0)
    throw new Error("a PNG of another kind");
  const lines = inflateSync(Buffer.concat([...dataChunks(file)]));
  const stride = width * bytes;
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1);
    above = unfiltered(lines[start] ?? 0, lines.subarray(start + 1, start + 1 + stride), above, bytes);
    for (let x = 0; x < width; x++) data.set(above.subarray(x * bytes, (x + 1) * bytes), (y * width + x) * 4);
  }
  return { width, height, data };
}

function* dataChunks(file: Buffer): Generator<Buffer> {
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") yield file.subarray(at + 8, at + 8 + file.readUInt32BE(at));
  }
}

function unfiltered(filter: number, line: Uint8Array, above: Uint8Array, bytes: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(line.length);
  for (let i = 0; i < line.length; i++) {
    const a = result[i - bytes] ?? 0;
    const b = above[i] ?? 0;
    const c = i < bytes ? 0 : (above[i - bytes] ?? 0);
    const predicted = [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter] ?? 0;
    result[i] = (line[i] ?? 0) + predicted;
  }
  return result;
}

function paeth(a: number, b: number, c: number): number {
  const [toA, toB, toC] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  if (toA <= toB && toA <= toC) return a;
  return toB <= toC ? b : c;
}

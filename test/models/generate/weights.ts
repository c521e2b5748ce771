/** ONNX element types. */
export const FLOAT = 1;
export const UINT8 = 2;
export const INT8 = 3;
export const INT32 = 6;
export const INT64 = 7;
export const BOOL = 9;
export const FLOAT16 = 10;
export type FloatType = typeof FLOAT | typeof FLOAT16;

/** A tensor whose bytes are made when they are written, any part of them alone: a model of any size needs no memory. */
export interface Weight {
  readonly name: string;
  readonly dataType: number;
  readonly dims: readonly number[];
  /** Bytes of the whole tensor. */
  readonly bytes: number;
  /** Bytes of one element; `part` takes elements. */
  readonly elementBytes: number;
  /** The little-endian bytes of the elements [first, first + count). */
  readonly part: (first: number, count: number) => Uint8Array;
}

/** FNV-1a of a text, mixed with the seed: the key of a tensor's values. */
export function keyOf(seed: number, text: string): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** Uniform in [-1, 1), a function of its place alone (two rounds of "lowbias32"): any part can be made first. */
export function noise(key: number, index: number): number {
  let x = Math.imul(index ^ key, 0x9e3779b1) + key;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) / 2 ** 31;
}

/** The seeded values of a matrix before any quantisation: noise times `scale`, each column a little stronger or weaker. */
export interface Source {
  readonly key: number;
  readonly scale: number;
}

/** How much stronger a channel is than `scale` says: per-channel scales that are mixed up then show. */
export function gain({ key }: Source, channel: number): number {
  return 1 + 0.25 * noise(key ^ 0x5bd1e995, channel);
}

type Numbers = (index: number) => number;

/** A float tensor whose element `index` is `value(index)`. */
export function floatWeight(name: string, dataType: FloatType, dims: readonly number[], value: Numbers): Weight {
  const elementBytes = dataType === FLOAT ? 4 : 2;
  const part = (first: number, count: number): Uint8Array => {
    const floats = new Float32Array(count);
    for (let i = 0; i < count; i++) floats[i] = value(first + i);
    return new Uint8Array(dataType === FLOAT ? floats.buffer : toHalf(floats).buffer);
  };
  return { name, dataType, dims, bytes: sizeOf(dims) * elementBytes, elementBytes, part };
}

/** A [from, to] matrix of noise whose columns differ in strength; a loop of its own, as gigabytes are made by it. */
export function matrixWeight(
  name: string,
  dataType: FloatType,
  dims: readonly [from: number, to: number],
  source: Source,
): Weight {
  const columns = dims[1];
  let strengths: Float64Array | undefined;
  const part = (first: number, count: number): Uint8Array => {
    strengths ??= Float64Array.from({ length: columns }, (_, column) => source.scale * gain(source, column));
    const floats = new Float32Array(count);
    let column = first % columns;
    for (let i = 0; i < count; i++) {
      floats[i] = noise(source.key, first + i) * (strengths[column] as number);
      column = column + 1 === columns ? 0 : column + 1;
    }
    return new Uint8Array(dataType === FLOAT ? floats.buffer : toHalf(floats).buffer);
  };
  const elementBytes = dataType === FLOAT ? 4 : 2;
  return { name, dataType, dims, bytes: sizeOf(dims) * elementBytes, elementBytes, part };
}

const WHOLE = {
  [UINT8]: Uint8Array,
  [INT8]: Int8Array,
  [INT32]: Int32Array,
} as const;

/** A tensor of small integers whose element `index` is `value(index)`. */
export function integerWeight(
  name: string,
  dataType: keyof typeof WHOLE,
  dims: readonly number[],
  value: Numbers,
): Weight {
  const Kind = WHOLE[dataType];
  const elementBytes = Kind.BYTES_PER_ELEMENT;
  const part = (first: number, count: number): Uint8Array => {
    const data = new Kind(count);
    for (let i = 0; i < count; i++) data[i] = value(first + i);
    return new Uint8Array(data.buffer);
  };
  return { name, dataType, dims, bytes: sizeOf(dims) * elementBytes, elementBytes, part };
}

export function int64Weight(name: string, dims: readonly number[], values: readonly number[]): Weight {
  const data = BigInt64Array.from(values, BigInt);
  const part = (first: number, count: number): Uint8Array => new Uint8Array(data.buffer, first * 8, count * 8);
  return { name, dataType: INT64, dims, bytes: data.byteLength, elementBytes: 8, part };
}

export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** IEEE half precision, rounded to nearest even. */
export function toHalf(floats: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return Uint16Array.from(bits, (x, index) => {
    const sign = (x >>> 16) & 0x8000;
    const magnitude = x & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    // Below 2^-14 halves are multiples of 2^-24.
    if (magnitude < 0x38800000) return sign | roundEven(Math.abs(floats[index] ?? 0) * 2 ** 24);
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  });
}

export function fromHalf(halves: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  });
}

function roundEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

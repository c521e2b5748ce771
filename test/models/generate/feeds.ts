import type { Builder } from "./builder.ts";
import { FLOAT16, keyOf, noise, sizeOf } from "./weights.ts";

/** A tensor to feed, as onnxruntime's Tensor(type, data, dims) takes it; halves are given as their bits. */
export type Feed =
  | { readonly type: "float32"; readonly data: Float32Array; readonly dims: readonly number[] }
  | { readonly type: "float16"; readonly data: Uint16Array; readonly dims: readonly number[] }
  | { readonly type: "int64"; readonly data: BigInt64Array; readonly dims: readonly number[] }
  | { readonly type: "bool"; readonly data: Uint8Array; readonly dims: readonly number[] };
export type Feeds = Readonly<Record<string, Feed>>;

export interface FeedOptions {
  /** Another seed gives other tokens, pictures, sounds. */
  readonly seed?: number;
  readonly batch?: number;
  /** Tokens of the first run. */
  readonly length?: number;
  /** Tokens that the state holds before a `next` run; left out, `length`. */
  readonly past?: number;
}

export type FullFeedOptions = Required<FeedOptions>;

export function fullFeedOptions(options: FeedOptions): FullFeedOptions {
  const { seed = 1, batch = 1, length = 5 } = options;
  return { seed, batch, length, past: options.past ?? length };
}

/** Seeded token ids below `vocab`; token n of a sequence depends on n alone, so a longer one begins with a shorter one. */
export function tokens(name: string, seed: number, [batch, length]: readonly [number, number], vocab: number, at = 0) {
  const key = keyOf(seed, name);
  return longs([batch, length], (index) => {
    const place = at + (index % length) + Math.floor(index / length) * 100_003;
    return Math.floor(((noise(key, place) + 1) / 2) * vocab);
  });
}

export function longs(dims: readonly number[], value: (index: number) => number): Feed {
  const data = BigInt64Array.from({ length: sizeOf(dims) }, (_, index) => BigInt(value(index)));
  return { type: "int64", data, dims };
}

/** Seeded noise of unit variance. */
export function signal(name: string, seed: number, dims: readonly number[]): Feed {
  const key = keyOf(seed, name);
  const data = Float32Array.from({ length: sizeOf(dims) }, (_, index) => Math.sqrt(3) * noise(key, index));
  return { type: "float32", data, dims };
}

/** Zeros in the graph's float type; of no elements, an empty cache. */
export function zeros(g: Builder, dims: readonly number[]): Feed {
  const size = sizeOf(dims);
  if (g.settings.float === FLOAT16) return { type: "float16", data: new Uint16Array(size), dims };
  return { type: "float32", data: new Float32Array(size), dims };
}

export function flag(value: boolean): Feed {
  return { type: "bool", data: Uint8Array.of(value ? 1 : 0), dims: [1] };
}

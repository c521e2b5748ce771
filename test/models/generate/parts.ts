import type { Builder, Operand } from "./builder.ts";
import { dotted } from "./linear.ts";
import { FLOAT, FLOAT16 } from "./weights.ts";

/** Small pieces that several architectures share, in the operators that torch's exporter writes. */

const EPSILON = 1e-5;

export function layerNorm(g: Builder, path: string, x: string, width: number): string {
  const weight = g.noise(`${dotted(path)}.weight`, [width], 0.2, 1);
  const bias = g.noise(`${dotted(path)}.bias`, [width], 0.1);
  return g.op(`${path}/LayerNormalization`, [x, weight, bias], { axis: -1, epsilon: { float: EPSILON } });
}

/** Llama's and T5's norm: without a mean, and in fp32 whatever the graph's type is. */
export function rmsNorm(g: Builder, path: string, x: string, width: number): string {
  const isHalf = g.settings.float === FLOAT16;
  const wide = isHalf ? g.op(`${path}/Cast`, [x], { to: FLOAT }) : x;
  const square = g.op(`${path}/Pow`, [wide, { f32: 2 }]);
  const mean = reduce(g, `${path}/ReduceMean`, square, [-1]);
  const root = g.op(`${path}/Sqrt`, [g.op(`${path}/Add`, [mean, { f32: EPSILON }])]);
  const unit = g.op(`${path}/Mul`, [wide, g.op(`${path}/Div`, [{ f32: 1 }, root])]);
  const narrow = isHalf ? g.op(`${path}/Cast`, [unit], { to: FLOAT16 }) : unit;
  return g.op(`${path}/Mul`, [g.noise(`${dotted(path)}.weight`, [width], 0.2, 1), narrow]);
}

/** A reduction that keeps its axes; from opset 18 on they are an input (ReduceSum's are in all of ours). */
export function reduce(g: Builder, path: string, x: string, axes: readonly number[], keepdims = 1): string {
  if (g.settings.opset >= 18 || path.endsWith("Sum")) return g.op(path, [x, axes], { keepdims });
  return g.op(path, [x], { axes, keepdims });
}

/** x · (1 + erf(x / √2)) / 2, as torch writes it. */
export function gelu(g: Builder, path: string, x: string): string {
  const erf = g.op(`${path}/Erf`, [g.op(`${path}/Div`, [x, { f: Math.SQRT2 }])]);
  const gate = g.op(`${path}/Mul`, [x, g.op(`${path}/Add`, [erf, { f: 1 }])]);
  return g.op(`${path}/Mul`, [gate, { f: 0.5 }]);
}

/** The size of one axis as a scalar. */
export function dim(g: Builder, scope: string, x: string, axis: number): string {
  return g.op(`${scope}/Gather`, [g.op(`${scope}/Shape`, [x]), axis], { axis: 0 });
}

/** A shape of numbers and of scalars in the graph, put together as torch does. */
export function shape(g: Builder, scope: string, sizes: readonly (number | string)[]): Operand {
  if (sizes.every((size) => typeof size === "number")) return sizes as number[];
  const parts = sizes.map((size) =>
    typeof size === "number" ? ([size] as const) : g.op(`${scope}/Unsqueeze`, [size, [0]]),
  );
  return g.op(`${scope}/Concat`, parts, { axis: 0 });
}

export interface Heads {
  readonly count: number;
  readonly size: number;
}

/** [batch, sequence, heads × size] → [batch, heads, sequence, size] */
export function splitHeads(g: Builder, scope: string, x: string, { count, size }: Heads): string {
  const to = shape(g, scope, [dim(g, scope, x, 0), dim(g, scope, x, 1), count, size]);
  return g.op(`${scope}/Transpose`, [g.op(`${scope}/Reshape`, [x, to])], { perm: [0, 2, 1, 3] });
}

/** [batch, heads, sequence, size] → [batch, sequence, heads × size] */
export function mergeHeads(g: Builder, scope: string, x: string, { count, size }: Heads): string {
  const y = g.op(`${scope}/Transpose`, [x], { perm: [0, 2, 1, 3] });
  const to = shape(g, scope, [dim(g, scope, y, 0), dim(g, scope, y, 1), count * size]);
  return g.op(`${scope}/Reshape`, [y, to]);
}

export interface AttentionOptions {
  /** What is added to the scores; "": nothing. */
  readonly mask: string;
  /** Left out: 1 / √size. */
  readonly scale?: number;
}

/** softmax(q · kᵀ · scale + mask) · v over [batch, heads, sequence, size]; merged. */
export function attend(
  g: Builder,
  scope: string,
  [q, k, v]: readonly [string, string, string],
  heads: Heads,
  { mask, scale = 1 / Math.sqrt(heads.size) }: AttentionOptions,
): string {
  const turned = g.op(`${scope}/Transpose`, [k], { perm: [0, 1, 3, 2] });
  const product = g.op(`${scope}/MatMul`, [q, turned]);
  const scaled = scale === 1 ? product : g.op(`${scope}/Mul`, [product, { f: scale }]);
  const scores = mask === "" ? scaled : g.op(`${scope}/Add`, [scaled, mask]);
  const weights = g.op(`${scope}/Softmax`, [scores], { axis: -1 });
  return mergeHeads(g, scope, g.op(`${scope}/MatMul`, [weights, v]), heads);
}

/** (1 - mask) · lowest, over [batch, 1, 1, sequence]: nothing attends to padding. */
export function paddingMask(g: Builder, scope: string, mask: string): string {
  const wide = g.op(`${scope}/Unsqueeze`, [g.op(`${scope}/Unsqueeze`, [mask, [1]]), [2]]);
  const real = g.op(`${scope}/Cast`, [wide], { to: g.settings.float });
  return g.op(`${scope}/Mul`, [g.op(`${scope}/Sub`, [{ f: 1 }, real]), { f: lowest(g) }]);
}

/** 0 where key ≤ query and the lowest number elsewhere: [1, 1, queries, keys], queries standing after `past` keys. */
export function causalMask(g: Builder, scope: string, past: Operand, queries: string): string {
  const total = past === 0 ? queries : g.op(`${scope}/Add`, [past, queries]);
  const query = g.op(`${scope}/Unsqueeze`, [g.op(`${scope}/Range`, [past, total, 1]), [1]]);
  const key = g.op(`${scope}/Unsqueeze`, [g.op(`${scope}/Range`, [0, total, 1]), [0]]);
  const isSeen = g.op(`${scope}/LessOrEqual`, [key, query]);
  const mask = g.op(`${scope}/Where`, [isSeen, { f: 0 }, { f: lowest(g) }]);
  return g.op(`${scope}/Unsqueeze`, [mask, [0, 1]]);
}

export function lowest(g: Builder): number {
  return g.settings.float === FLOAT16 ? -65504 : -3.4028234663852886e38;
}

/** Position 0 of the second axis: [batch, sequence, width] → [batch, width]. */
export function first(g: Builder, path: string, x: string): string {
  return g.op(`${path}/Gather`, [x, 0], { axis: 1 });
}

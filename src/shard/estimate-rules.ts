import type { Dim, Dims } from "./dims.ts";
import type { DimsContext } from "./dims-rules.ts";

/**
 * Rules for estimates only: they guess where `dims-rules.ts` would have to be certain. All sizes are numbers here; null: no idea,
 * the first input's dims are taken.
 */
type EstimateRule = (context: DimsContext) => Dims;
type Sizes = readonly number[];

const ESTIMATES: ReadonlyMap<string, EstimateRule> = new Map<string, EstimateRule>([
  ...rows("Conv FusedConv ConvInteger NhwcConv", (context) => conv(context, 1)),
  ["QLinearConv", (context) => conv(context, 3)],
  ["ConvTranspose", convTranspose],
  ...rows("MaxPool AveragePool LpPool", pool),
  ...rows("Resize Upsample", resize),
  ["Concat", concat],
  ["Reshape", reshape],
  ["Flatten", flatten],
  ["Squeeze", squeeze],
  ...rows("Split SplitToSequence", split),
  ["Slice", slice],
  ...rows("Expand ConstantOfShape", ({ values, int }) => positive(values(int("", 1)) ?? values(0))),
  ["Shape", ({ input }) => [input(0)?.length ?? 1]],
  ...rows("QLinearMatMul", ({ input }) => product(input(0), input(3))),
  ...rows(
    "MatMulInteger DynamicQuantizeMatMul MatMulIntegerToFloat FusedMatMul TransposeMatMul FusedGemm",
    ({ input }) => product(input(0), input(1)),
  ),
  ...rows("GatherElements GatherND", ({ input }) => input(1)),
  ...rows("GroupQueryAttention", groupQueryAttention),
  ...rows("LSTM GRU RNN", recurrent),
  ...rows("ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ArgMax ArgMin", reduce),
]);

export function estimateRule(operator: string): EstimateRule | null {
  return ESTIMATES.get(operator) ?? null;
}

function rows(operators: string, rule: EstimateRule): (readonly [string, EstimateRule])[] {
  return operators.split(" ").map((operator) => [operator, rule] as const);
}

function sizesOf(dims: Dims): Sizes | null {
  return dims?.map((dim) => (typeof dim === "number" ? dim : 1)) ?? null;
}

/** Sizes that are certain numbers above zero, else null. */
function positive(values: readonly Dim[] | null): Sizes | null {
  const isSize = (dim: Dim): dim is number => typeof dim === "number" && dim > 0;
  return values?.every(isSize) ? values : null;
}

function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function conv({ input, ints }: DimsContext, weight: number): Dims {
  const [data, kernel] = [sizesOf(input(0)), sizesOf(input(weight))];
  if (data === null || kernel === null) return null;
  const window = kernel.slice(2);
  return [data[0] ?? 1, kernel[0] ?? 1, ...slide(data.slice(2), window, ints)];
}

function pool({ input, ints }: DimsContext): Dims {
  const data = sizesOf(input(0));
  return data === null ? null : [...data.slice(0, 2), ...slide(data.slice(2), ints("kernel_shape") ?? [], ints)];
}

/** Where a window stops: (size + pads - reach) / stride + 1. */
function slide(sides: Sizes, window: Sizes, ints: DimsContext["ints"]): number[] {
  const [pads, strides, dilations] = [ints("pads"), ints("strides"), ints("dilations")];
  return sides.map((side, i) => {
    const reach = ((window[i] ?? 1) - 1) * (dilations?.[i] ?? 1) + 1;
    const padding = (pads?.[i] ?? 0) + (pads?.[i + sides.length] ?? 0);
    return Math.max(1, Math.floor((side + padding - reach) / (strides?.[i] ?? 1)) + 1);
  });
}

function convTranspose({ input, int, ints }: DimsContext): Dims {
  const [data, kernel] = [sizesOf(input(0)), sizesOf(input(1))];
  if (data === null || kernel === null) return null;
  const strides = ints("strides");
  return [
    data[0] ?? 1,
    (kernel[1] ?? 1) * int("group", 1),
    ...data.slice(2).map((side, i) => side * (strides?.[i] ?? 1)),
  ];
}

function resize({ input, values }: DimsContext): Dims {
  const data = sizesOf(input(0));
  return positive(values(3)) ?? data?.map((side, i) => (i < 2 ? side : side * 2)) ?? null;
}

function concat({ inputs, input, int }: DimsContext): Dims {
  const first = sizesOf(input(0));
  if (first === null) return null;
  const axis = axisOf(int("axis", 0), first.length);
  let total = 0;
  for (let i = 0; i < inputs; i++) total += sizesOf(input(i))?.[axis] ?? 0;
  return axis >= 0 && axis < first.length ? first.with(axis, total) : null;
}

function reshape({ input, values }: DimsContext): Dims {
  const [data, shape] = [sizesOf(input(0)), values(1)];
  if (data === null || shape === null) return null;
  const sizes = shape.map((size, i) => (size === 0 ? (data[i] ?? 1) : typeof size === "number" ? size : 1));
  const rest = sizes.reduce((count, size) => (size > 0 ? count * size : count), 1);
  return sizes.map((size) => (size < 0 ? Math.max(1, Math.round(elements(data) / rest)) : size));
}

function flatten({ input, int }: DimsContext): Dims {
  const data = sizesOf(input(0));
  if (data === null) return null;
  const axis = axisOf(int("axis", 1), data.length);
  return [elements(data.slice(0, axis)), elements(data.slice(axis))];
}

function squeeze({ input, values, ints }: DimsContext): Dims {
  const data = sizesOf(input(0));
  const axes = (ints("axes") ?? values(1))?.map((axis) => axisOf(Number(axis ?? 0), data?.length ?? 0));
  return data?.filter((size, i) => (axes === undefined ? size !== 1 : !axes.includes(i))) ?? null;
}

function split({ input, values, int, ints }: DimsContext): Dims {
  const data = sizesOf(input(0));
  if (data === null) return null;
  const axis = axisOf(int("axis", 0), data.length);
  const given = positive(values(1)) ?? ints("split");
  const part = given?.[0] ?? Math.ceil((data[axis] ?? 1) / Math.max(1, int("num_outputs", 2)));
  return axis >= 0 && axis < data.length ? data.with(axis, part) : null;
}

function slice({ input, values }: DimsContext): Dims {
  const data = sizesOf(input(0));
  const [starts, ends] = [values(1), values(2)];
  if (data === null || starts === null || ends === null) return null;
  const axes = values(3) ?? starts.map((_, i) => i);
  const sizes = [...data];
  for (const [i, axisValue] of axes.entries()) {
    const axis = axisOf(Number(axisValue ?? 0), data.length);
    const side = data[axis] ?? 1;
    const clamp = (value: Dim | undefined): number => Math.min(side, Math.max(0, axisOf(Number(value ?? 0), side)));
    const step = Math.max(1, Math.abs(Number(values(4)?.[i] ?? 1)));
    if (axis >= 0 && axis < data.length) sizes[axis] = Math.ceil(Math.abs(clamp(ends[i]) - clamp(starts[i])) / step);
  }
  return sizes;
}

function product(a: Dims, b: Dims): Dims {
  return a === null || b === null ? null : [...a.slice(0, -1), b.at(-1) ?? 1];
}

/** The query's dims; a packed one holds the keys and values too. */
function groupQueryAttention({ input, int }: DimsContext): Dims {
  const query = sizesOf(input(0));
  if (query === null || input(1) !== null) return query;
  const heads = int("num_heads", 1);
  return query.with(-1, Math.round(((query.at(-1) ?? 1) * heads) / (heads + 2 * int("kv_num_heads", heads))));
}

function recurrent({ input, int }: DimsContext): Dims {
  const [data, weight] = [sizesOf(input(0)), sizesOf(input(1))];
  return data === null ? null : [data[0] ?? 1, weight?.[0] ?? 1, data[1] ?? 1, int("hidden_size", 1)];
}

function reduce({ input, values, int, ints }: DimsContext): Dims {
  const data = sizesOf(input(0));
  const given = ints("axes") ?? values(1) ?? (int("axis", Number.NaN) >= -99 ? [int("axis", 0)] : null);
  if (data === null) return null;
  const at = new Set((given ?? data.map((_, i) => i)).map((axis) => axisOf(Number(axis ?? 0), data.length)));
  const kept = data.map((size, i) => (at.has(i) ? 1 : size));
  return int("keepdims", 1) === 1 ? kept : kept.filter((_, i) => !at.has(i));
}

function elements(sizes: Sizes): number {
  return sizes.reduce((count, size) => count * size, 1);
}

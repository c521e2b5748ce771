import { broadcast, type Dim, type Dims } from "./dims.ts";

/** What a rule sees of a node: dims of its inputs, its integer attributes, and the values of inputs that are constants. */
export interface DimsContext {
  /** How many inputs the node has. */
  readonly inputs: number;
  readonly input: (index: number) => Dims;
  readonly values: (index: number) => readonly Dim[] | null;
  readonly int: (name: string, otherwise: number) => number;
  readonly ints: (name: string) => readonly number[] | null;
}
type DimsRule = (context: DimsContext) => Dims;

const same: DimsRule = ({ input }) => input(0);
const both: DimsRule = ({ input }) => broadcast(input(0), input(1));
const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
const RULES: ReadonlyMap<string, DimsRule> = new Map<string, DimsRule>([
  ...rows(
    "Abs BatchNormalization Cast Celu Ceil Clip Cos CumSum DequantizeLinear Dropout Elu Erf Exp Floor Gelu HardSigmoid HardSwish " +
      "Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax Mish Neg Not PRelu QuantizeLinear Reciprocal " +
      "Relu Round Selu Sigmoid Sign SimplifiedLayerNormalization Sin SkipLayerNormalization SkipSimplifiedLayerNormalization " +
      "Softmax Softplus Sqrt Tanh Trilu BiasGelu FastGelu QuickGelu RotaryEmbedding",
    same,
  ),
  ...rows("Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Mod Mul Or Pow Sub", both),
  ["Where", ({ input }) => broadcast(broadcast(input(0), input(1)), input(2))],
  ["MatMul", ({ input }) => matMul(input(0), input(1))],
  ["Gemm", gemm],
  ["MatMulNBits", ({ input, int }) => replaceAt(input(0), -1, int("N", 0))],
  ["Transpose", transpose],
  ["Gather", gather],
  ["Reshape", reshape],
  ["Unsqueeze", unsqueeze],
  ["Concat", concat],
  ["Conv", ({ input }) => spatial(input(0), input(1)?.[0] ?? null)],
  ["FusedConv", ({ input }) => spatial(input(0), input(1)?.[0] ?? null)],
  ...rows("MaxPool AveragePool", ({ input }) => spatial(input(0), input(0)?.[1] ?? null)),
  ...rows("GlobalAveragePool GlobalMaxPool", ({ input }) => input(0)?.map((dim, i) => (i < 2 ? dim : 1)) ?? null),
  ...rows("ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2", reduce),
]);

/** The dims of a node's first output as far as they are certain. */
export function dimsRule(operator: string): DimsRule | null {
  return RULES.get(operator) ?? null;
}

function rows(operators: string, rule: DimsRule): (readonly [string, DimsRule])[] {
  return operators.split(" ").map((operator) => [operator, rule] as const);
}

function matMul(a: Dims, b: Dims): Dims {
  if (a === null || b === null || a.length < 2 || b.length < 2) return null;
  const batch = broadcast(a.slice(0, -2), b.slice(0, -2));
  return batch === null ? null : [...batch, a.at(-2) ?? null, b.at(-1) ?? null];
}

function gemm({ input, int }: DimsContext): Dims {
  const [a, b] = [input(0), input(1)];
  if (a === null || b === null) return null;
  return [a[int("transA", 0) === 1 ? 1 : 0] ?? null, b[int("transB", 0) === 1 ? 0 : 1] ?? null];
}

function transpose({ input, ints }: DimsContext): Dims {
  const dims = input(0);
  if (dims === null) return null;
  return ints("perm")?.map((axis) => dims[axis] ?? null) ?? dims.toReversed();
}

function gather({ input, int }: DimsContext): Dims {
  const [data, indices] = [input(0), input(1)];
  if (data === null || indices === null) return null;
  const axis = axisOf(int("axis", 0), data.length);
  return [...data.slice(0, axis), ...indices, ...data.slice(axis + 1)];
}

function reshape({ input, values, int }: DimsContext): Dims {
  const [dims, shape] = [input(0), values(1)];
  if (shape === null || int("allowzero", 0) !== 0) return null;
  return shape.map((size, i) => (size === 0 ? (dims?.[i] ?? null) : size === -1 ? null : size));
}

function unsqueeze({ input, values, ints }: DimsContext): Dims {
  const [dims, axes] = [input(0), ints("axes") ?? values(1)];
  if (dims === null || axes === null) return null;
  const rank = dims.length + axes.length;
  const at = new Set(axes.map((axis) => axisOf(Number(axis ?? 0), rank)));
  const rest = [...dims];
  return Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : (rest.shift() ?? null)));
}

function concat({ input, int }: DimsContext): Dims {
  return replaceAt(input(0), int("axis", 0), null);
}

function replaceAt(dims: Dims, axis: number, dim: Dim): Dims {
  if (dims === null || axisOf(axis, dims.length) < 0 || axisOf(axis, dims.length) >= dims.length) return null;
  return dims.with(axis, dim);
}

function spatial(dims: Dims, channels: Dim): Dims {
  return dims?.map((dim, i) => (i === 0 ? dim : i === 1 ? channels : null)) ?? null;
}

function reduce({ input, values, int, ints }: DimsContext): Dims {
  const [dims, axes] = [input(0), ints("axes") ?? values(1)];
  if (dims === null || axes === null || axes.length === 0 || int("keepdims", 1) !== 1) return null;
  const at = new Set(axes.map((axis) => axisOf(Number(axis ?? 0), dims.length)));
  return dims.map((dim, i) => (at.has(i) ? 1 : dim));
}

import type { NodeProto } from "./model.ts";
import type { TensorSizes } from "./sizes.ts";

type FlopsRule = (node: NodeProto, sizes: TensorSizes) => number;

/** Operators that move or rename what they are given. */
const FREE = new Set("Reshape Squeeze Unsqueeze Identity Flatten Shape Size Constant Dropout".split(" "));
/** Floating-point operations an element of the output, where it is not one. */
const PER_ELEMENT: Readonly<Record<string, number>> = {
  ...{ Softmax: 8, LogSoftmax: 8, LayerNormalization: 8, SimplifiedLayerNormalization: 6, RMSNormalization: 6 },
  ...{
    SkipLayerNormalization: 9,
    SkipSimplifiedLayerNormalization: 7,
    BatchNormalization: 2,
    InstanceNormalization: 8,
  },
  ...{ GroupNormalization: 8, Erf: 8, Gelu: 12, FastGelu: 12, QuickGelu: 8, BiasGelu: 12, Tanh: 8, Sigmoid: 6, Exp: 6 },
  ...{ Pow: 4, Sqrt: 2, RotaryEmbedding: 4, Resize: 4 },
};

const RULES: Readonly<Record<string, FlopsRule>> = {
  ...rows(
    "MatMul FusedMatMul TransposeMatMul MatMulInteger DynamicQuantizeMatMul MatMulIntegerToFloat",
    (node, sizes) => matMul(node, sizes, sizes.dims(input(node, 0)).at(-1) ?? 1),
  ),
  QLinearMatMul: (node, sizes) => matMul(node, sizes, sizes.dims(input(node, 0)).at(-1) ?? 1),
  ...rows("Gemm FusedGemm", (node, sizes) => {
    const a = sizes.dims(input(node, 0));
    return matMul(node, sizes, (attribute(node, "transA", 0) === 1 ? a[0] : a[1]) ?? 1);
  }),
  MatMulNBits: (node, sizes) => matMul(node, sizes, attribute(node, "K", 1)),
  ...rows("Conv FusedConv ConvInteger NhwcConv", (node, sizes) => conv(node, sizes, 1)),
  QLinearConv: (node, sizes) => conv(node, sizes, 3),
  ConvTranspose: (node, sizes) => 2 * count(sizes.dims(input(node, 0))) * count(sizes.dims(input(node, 1)).slice(1)),
  GroupQueryAttention: (node, sizes) => attention(node, sizes, 3),
  MultiHeadAttention: (node, sizes) => attention(node, sizes, 6),
  Attention: (node, sizes) => {
    // The operator of com.microsoft holds the projections too.
    const projection = count(sizes.dims(input(node, 0))) * 2 * (sizes.dims(input(node, 1)).at(-1) ?? 1);
    return attention(node, sizes, 4) + (node.domain === "com.microsoft" ? projection : 0);
  },
  LSTM: (node, sizes) => recurrent(node, sizes),
  GRU: (node, sizes) => recurrent(node, sizes),
  RNN: (node, sizes) => recurrent(node, sizes),
};

/** Floating-point operations of one node in an assumed run; multiplications and additions count one each. */
export function flopsOf(node: NodeProto, sizes: TensorSizes): number {
  const { opType } = node;
  // A damaged file may name an operator `constructor`.
  const rule = Object.hasOwn(RULES, opType) ? RULES[opType] : undefined;
  if (rule !== undefined) return rule(node, sizes);
  if (FREE.has(opType)) return 0;
  const each = Object.hasOwn(PER_ELEMENT, opType) ? PER_ELEMENT[opType] : undefined;
  return count(sizes.dims(node.output[0] ?? "")) * (each ?? 1);
}

function rows(operators: string, rule: FlopsRule): Record<string, FlopsRule> {
  return Object.fromEntries(operators.split(" ").map((operator) => [operator, rule]));
}

function input(node: NodeProto, index: number): string {
  return node.input[index] ?? "";
}

function attribute(node: NodeProto, name: string, otherwise: number): number {
  return Number(node.attribute.find((candidate) => candidate.name === name)?.i ?? otherwise);
}

function count(sizes: readonly number[]): number {
  return sizes.reduce((product, size) => product * size, 1);
}

function matMul(node: NodeProto, sizes: TensorSizes, inner: number): number {
  return 2 * count(sizes.dims(node.output[0] ?? "")) * inner;
}

function conv(node: NodeProto, sizes: TensorSizes, weight: number): number {
  return 2 * count(sizes.dims(node.output[0] ?? "")) * count(sizes.dims(input(node, weight)).slice(1));
}

/** Scores and weighted sum: four operations a query element and a row that it attends to. */
function attention(node: NodeProto, sizes: TensorSizes, past: number): number {
  const query = sizes.dims(node.output[0] ?? "");
  const before = input(node, past) === "" ? 0 : (sizes.dims(input(node, past)).at(-2) ?? 0);
  return 4 * count(query) * (before + (query.at(-2) ?? 1));
}

function recurrent(node: NodeProto, sizes: TensorSizes): number {
  const steps = sizes.dims(input(node, 0)).slice(0, 2);
  return 2 * count(steps) * (count(sizes.dims(input(node, 1))) + count(sizes.dims(input(node, 2))));
}

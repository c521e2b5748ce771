import { functionCalls } from "./functions.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { oncePer } from "./memo.ts";

/** Operators that onnxruntime folds what follows into. */
const ABSORBS = new Set(
  (
    "Conv ConvTranspose ConvInteger MatMul MatMulInteger Gemm FusedConv FusedMatMul FusedGemm MatMulNBits " +
    "QLinearConv QLinearMatMul BatchNormalization Cast"
  ).split(" "),
);
const ELEMENTWISE = new Set(
  (
    "Add Sub Mul Div Pow Sqrt Exp Erf Neg Reciprocal Relu Sigmoid Tanh LeakyRelu PRelu Elu Selu Clip HardSigmoid HardSwish " +
    "Gelu FastGelu BiasGelu QuickGelu Softplus Softsign Mish"
  ).split(" "),
);
const FOLLOWS = new Set(
  "BatchNormalization LayerNormalization SkipLayerNormalization QuantizeLinear ReduceMean Cast".split(" "),
);
/** Pairs that are fused though the second is no elementwise operator. */
const PAIRS = new Set(["Pad Conv", "Transpose MatMul", "Transpose Gemm"]);

/** Readers that show a sum or a difference to be inside a decomposed LayerNorm or RMSNorm: nothing else reads it. */
const NORMALISING = new Set(["ReduceMean Sub", "Div Pow", "Div Mul", "Mul Pow"]);

const callsOf = oncePer((graph: Graph) => functionCalls(graph.model));

/**
 * The node that onnxruntime might fuse with the producer of a tensor, or null. A cut between the two would change the last bits.
 * It fuses only what nothing else reads, but for the sum that a norm normalises.
 */
export function fusedWith(graph: Graph, producer: GraphNode, name: string): GraphNode | null {
  const readers = graph.consumers.get(name) ?? [];
  // onnxruntime puts what is in a function in the place of its call before it fuses.
  if ([producer, ...readers].some((node) => callsOf(graph)(node.proto))) return readers.at(-1) ?? null;
  const reader = readers[0];
  const operators = readers.map((node) => node.proto.opType).sort();
  const isSum = producer.proto.opType === "Add" || producer.proto.opType === "Sub";
  if (isSum && NORMALISING.has(operators.join(" "))) return readers.at(-1) ?? null;
  // The mean and the variance of a decomposed norm.
  if (producer.proto.opType === "ReduceMean")
    return readers.findLast((node) => ELEMENTWISE.has(node.proto.opType)) ?? null;
  // Each reader gets a DequantizeLinear of its own (EnsureUniqueDQForNodeUnit) and is computed in integers with it.
  if (producer.proto.opType === "DequantizeLinear") return readers.at(-1) ?? null;
  if (reader === undefined || readers.length > 1 || graph.outputs.some((value) => value.name === name)) return null;
  const first = producer.proto.opType;
  const second = reader.proto.opType;
  const isChain = (ABSORBS.has(first) || ELEMENTWISE.has(first)) && (ELEMENTWISE.has(second) || FOLLOWS.has(second));
  return isChain || second === "QuantizeLinear" || PAIRS.has(`${first} ${second}`) ? reader : null;
}

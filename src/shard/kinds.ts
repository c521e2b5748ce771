import { elementTypeOf } from "./element-types.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { REBUILD_BYTES_MAX, REBUILD_SHARE_MAX } from "./limits.ts";
import type { StateBinding } from "./types.ts";
import type { DataTypes } from "./types-of.ts";
import { valueSpec } from "./values.ts";

/**
 * What a cut does with a node. `constant`: its value is a weight, computed in each shard that needs it. `cheap`: rebuilt in each
 * shard that needs it, from feeds, constants and shapes. `real`: runs in one shard.
 */
export type NodeKind = "constant" | "cheap" | "real";

const CHEAP = new Set(
  (
    "Abs Add And BitwiseAnd BitwiseOr Cast CastLike Ceil Clip Concat ConstantOfShape Cos CumSum Div Equal Expand EyeLike Flatten " +
    "Floor Gather GatherElements GatherND Greater GreaterOrEqual Identity IsNaN Less LessOrEqual Max Min Mod Mul Neg Not OneHot " +
    "Or Pad Pow Range Reciprocal ReduceMax ReduceMin ReduceSum Reshape ScatterND Sign Sin Slice Split Sqrt Squeeze Sub Tile " +
    "Transpose Trilu Unsqueeze Where Xor"
  ).split(" "),
);
const RANDOM = new Set(
  "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split(" "),
);
const DEQUANTIZE = "DequantizeLinear";
const SHAPES = new Set(["Shape", "Size"]);
const INDEX_TYPES = new Set(["int64", "int32", "bool"]);

export interface Kinds {
  readonly of: (node: GraphNode) => NodeKind;
  /** Whether a node reads only the shape of its input. */
  readonly asksShape: (node: GraphNode) => boolean;
  /** Tensors of few elements: shapes, and feeds such as token ids and masks. */
  readonly tiny: ReadonlySet<string>;
  /** Bytes of the constants that a node reads, through constant nodes too. */
  readonly constantBytes: (node: GraphNode) => number;
}

export function kindsOf(graph: Graph, types: DataTypes, bindings: readonly StateBinding[]): Kinds {
  const bytes = new Map([...graph.constants.values()].map((constant) => [constant.name, constant.bytes]));
  const total = [...bytes.values()].reduce((sum, value) => sum + value, 0);
  const bytesMax = Math.min(REBUILD_BYTES_MAX, total * REBUILD_SHARE_MAX);
  const results = new Set(graph.outputs.map((value) => value.name));
  const tiny = smallFeeds(graph, bindings);
  const rebuilt = new Set(tiny);
  const kinds = new Map<GraphNode, NodeKind>();
  const read = new Map<GraphNode, number>();
  for (const node of graph.nodes) {
    const cost = node.inputs.reduce((sum, name) => sum + (bytes.get(name) ?? 0), 0);
    read.set(node, cost);
    const kind = kindOf(node, cost);
    kinds.set(node, kind);
    for (const name of node.outputs) {
      if (kind === "constant") bytes.set(name, cost);
      if (kind === "cheap" && node.proto.opType !== DEQUANTIZE) rebuilt.add(name);
      if (!SHAPES.has(node.proto.opType) || kind !== "real") continue;
      tiny.add(name);
      rebuilt.add(name);
    }
  }
  const asksShape = (node: GraphNode): boolean => SHAPES.has(node.proto.opType);
  return { asksShape, of: (node) => kinds.get(node) ?? "real", tiny, constantBytes: (node) => read.get(node) ?? 0 };

  function kindOf(node: GraphNode, cost: number): NodeKind {
    const { opType, domain } = node.proto;
    if (node.outputs.some((name) => results.has(name))) return "real";
    const isSource = opType === "Constant" || node.inputs.length > 0;
    if (isSource && !RANDOM.has(opType) && node.inputs.every((name) => bytes.has(name))) return "constant";
    // What is quantised travels as such, and each shard widens it again: a cut never parts a DequantizeLinear from its readers.
    if (opType === DEQUANTIZE && node.inputs.slice(1).every((name) => bytes.has(name))) return "cheap";
    const known = node.outputs.every((name) => elementTypeOf(types.get(name) ?? 0) !== null);
    const isCheap = CHEAP.has(opType) && domain === "" && cost <= bytesMax && known;
    return isCheap && node.inputs.every((name) => bytes.has(name) || rebuilt.has(name)) ? "cheap" : "real";
  }
}

/** Feeds that cost next to nothing to pass on: ids, masks, positions, and whatever has at most two dimensions. */
function smallFeeds(graph: Graph, bindings: readonly StateBinding[]): Set<string> {
  const bound = new Set(bindings.map((binding) => binding.input.name));
  const feeds = graph.inputs.map(valueSpec).filter((feed) => !bound.has(feed.name));
  const small = feeds.filter((feed) => INDEX_TYPES.has(feed.type) || (feed.dims !== null && feed.dims.length <= 2));
  return new Set(small.map((feed) => feed.name));
}

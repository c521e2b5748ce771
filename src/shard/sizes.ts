import { type AssumedSizes, assumeDims, fillDims } from "./assumed-sizes.ts";
import { constantInts, type Dim, type Dims, declaredDims } from "./dims.ts";
import { contextOf, dimsOf, valuesMade } from "./dims-of.ts";
import { type DimsContext, dimsRule } from "./dims-rules.ts";
import { tensorBytes } from "./element-types.ts";
import { estimateRule } from "./estimate-rules.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { dataTypesOf } from "./types-of.ts";
import { valueSpec } from "./values.ts";

/** Dims of a graph's tensors in a typical run, every size a number. */
export interface TensorSizes {
  readonly dims: (name: string) => readonly number[];
  /** Bytes; `known`: no size of it was assumed. */
  readonly bytes: (name: string) => { readonly bytes: number; readonly known: boolean };
}

/** No tensor of an estimate has more elements than this: damaged graphs may claim anything. */
const ELEMENTS_MAX = 2 ** 40;

/** Follows the dims of one assumed run through the graph; where no rule helps, a tensor is as large as its node's first input. */
export function sizesOf(graph: Graph, hasState: boolean, assumed: AssumedSizes): TensorSizes {
  const dims = new Map<string, Dims>();
  const values = new Map<string, readonly Dim[]>();
  for (const value of graph.inputs) dims.set(value.name, assumeDims(valueSpec(value), hasState, assumed));
  for (const { name, tensor } of graph.constants.values()) {
    dims.set(name, tensor.dims.map(Number));
    const ints = constantInts(tensor);
    if (ints !== null && ints.length <= 64) values.set(name, ints);
  }
  const certain = dimsOf(graph);
  const declared = new Map(graph.outputs.map((value) => [value.name, declaredDims(value)]));
  for (const node of graph.nodes) {
    const context = contextOf(node.proto, dims, values);
    const made = valuesMade(node.proto.opType, context) ?? computed(node.proto.opType, context);
    if (made !== null && made.length <= 64) values.set(node.proto.output[0] ?? "", made);
    const found = estimate(node, context);
    for (const [i, name] of node.proto.output.entries()) {
      const told = fillDims(certain.get(name) ?? declared.get(name) ?? null, hasState, assumed);
      const own = i === 0 || told === null ? found : told;
      dims.set(name, own ?? told ?? fillDims(dims.get(node.inputs[0] ?? "") ?? null, hasState, assumed) ?? [1]);
    }
  }
  const types = dataTypesOf(graph);
  const sizes = (name: string): readonly number[] =>
    (dims.get(name) ?? [1]).map((dim) => (typeof dim === "number" ? Math.max(0, dim) : 1));
  return {
    dims: sizes,
    bytes: (name) => {
      const all = sizes(name);
      const bounded = all.reduce((count, size) => count * size, 1) <= ELEMENTS_MAX ? all : [ELEMENTS_MAX];
      const known = certain.get(name)?.every((dim) => typeof dim === "number") ?? false;
      // A type that is not known is taken for float32.
      return { bytes: tensorBytes(types.get(name) ?? 1, bounded), known };
    },
  };
}

function estimate(node: GraphNode, context: DimsContext): Dims {
  const guess = estimateRule(node.proto.opType)?.(context) ?? null;
  const rule = dimsRule(node.proto.opType)?.(context) ?? null;
  const isWhole = rule?.every((dim) => typeof dim === "number" && dim >= 0) ?? false;
  return isWhole ? rule : (guess ?? rule);
}

/** Arithmetic on sizes, as exporters write it between Shape and Reshape. */
function computed(operator: string, { values, ints }: DimsContext): readonly Dim[] | null {
  const [a, b] = [values(0), values(1)];
  if (a === null) return null;
  if (operator === "Slice") {
    const [start, end] = [b?.[0] ?? ints("starts")?.[0] ?? null, values(2)?.[0] ?? ints("ends")?.[0] ?? null];
    return typeof start === "number" && typeof end === "number" ? a.slice(start, end) : null;
  }
  const apply = OPERATIONS[operator];
  if (apply === undefined || b === null || a.length === 0 || b.length === 0) return null;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const [x, y] = [a[i % a.length], b[i % b.length]];
    return typeof x === "number" && typeof y === "number" ? apply(x, y) : null;
  });
}

const OPERATIONS: Readonly<Record<string, (x: number, y: number) => number>> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => (y === 0 ? 0 : Math.floor(x / y)),
};

import { HoldfastError } from "../base/errors.ts";
import { bodiesOf } from "./captures.ts";
import { tensorBytes } from "./element-types.ts";
import { externalRange, type GraphProto, type NodeProto, type TensorProto } from "./model.ts";
import type { WeightRange } from "./types.ts";

/** A tensor whose value the graph holds: an initialiser, or what was a Constant node. */
export interface Constant {
  readonly name: string;
  readonly tensor: TensorProto;
  readonly bytes: number;
  /** null: the value stays inline. */
  readonly range: WeightRange | null;
}

export function constantOf(name: string, tensor: TensorProto, ranges: ReadonlyMap<TensorProto, WeightRange>): Constant {
  const range = ranges.get(tensor) ?? null;
  return { name, tensor, range, bytes: range?.length ?? tensorBytes(tensor.dataType, tensor.dims) };
}

/** The tensor that a Constant node yields, if it is given as a tensor. */
export function constantTensor(node: NodeProto): TensorProto | null {
  if (node.opType !== "Constant") return null;
  return node.attribute.find((attribute) => attribute.name === "value")?.t ?? null;
}

/** A short path of its own ("w12") for every external tensor of a model, bodies included, always in the same order. */
export function weightRanges(graph: GraphProto): Map<TensorProto, WeightRange> {
  const ranges = new Map<TensorProto, WeightRange>();
  visit(graph, (tensor) => {
    const range = externalRange(tensor);
    if (range === null) return;
    const { location, offset, length } = range;
    ranges.set(tensor, { path: `w${ranges.size}`, file: location, offset, length });
  });
  return ranges;
}

/** The ranges that a node's bodies hold. */
export function bodyRanges(node: NodeProto, ranges: ReadonlyMap<TensorProto, WeightRange>): WeightRange[] {
  const found: WeightRange[] = [];
  for (const body of bodiesOf(node)) {
    visit(body, (tensor) => {
      const range = ranges.get(tensor);
      if (range !== undefined) found.push(range);
    });
  }
  return found;
}

function visit(graph: GraphProto, use: (tensor: TensorProto) => void): void {
  for (const tensor of graph.initializer) use(tensor);
  for (const node of graph.node) {
    const constant = constantTensor(node);
    if (constant !== null) use(constant);
    for (const body of bodiesOf(node)) visit(body, use);
    for (const attribute of node.attribute) {
      for (const tensor of [attribute.t ?? [], attribute.tensors].flat()) {
        if (tensor === constant || externalRange(tensor) === null) continue;
        const message = `node ${node.name || node.opType} keeps a large tensor in its attribute ${attribute.name}, which is not supported`;
        throw new HoldfastError("UNSUPPORTED_OP", `${message}: make it an input of the node`);
      }
    }
  }
}

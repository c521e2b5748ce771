import { constantInts, type Dim, type Dims, declaredDims } from "./dims.ts";
import { type DimsContext, dimsRule } from "./dims-rules.ts";
import type { Graph } from "./graph.ts";
import { oncePer } from "./memo.ts";
import type { NodeProto } from "./model.ts";

/**
 * What is certain about the dims of a graph's tensors. onnxruntime fuses some nodes only where it knows the shapes, so a shard
 * that is told them does the same arithmetic as the whole model (seeded encoders: without them the last bit differs).
 */
export const dimsOf = (graph: Graph): ReadonlyMap<string, Dims> => followed(graph).dims;

/** Whether value_info agrees with what the operators tell; where not, it is not to be used. */
export const isDeclaredRight = (graph: Graph): boolean => !followed(graph).isContradicted;

const followed = oncePer((graph: Graph) => {
  const declared = new Map(graph.model.graph.valueInfo.map((value) => [value.name, declaredDims(value)]));
  const first = follow(graph, declared);
  // Some exporters write shapes that their own operators contradict; onnxruntime believes the operators.
  return first.isContradicted ? { ...follow(graph, new Map()), isContradicted: true } : first;
});

function follow(
  graph: Graph,
  declared: ReadonlyMap<string, Dims>,
): { dims: Map<string, Dims>; isContradicted: boolean } {
  const dims = new Map<string, Dims>(declared);
  /** Values of small int64 tensors: shapes on their way into Reshape. */
  const values = new Map<string, readonly Dim[]>();
  let isContradicted = false;
  for (const value of graph.model.graph.input) dims.set(value.name, declaredDims(value));
  for (const { name, tensor } of graph.constants.values()) {
    dims.set(name, tensor.dims.map(Number));
    const ints = constantInts(tensor);
    if (ints !== null) values.set(name, ints);
  }
  for (const { proto } of graph.nodes) {
    const name = proto.output[0] ?? "";
    const context = contextOf(proto, dims, values);
    const made = valuesMade(proto.opType, context);
    if (made !== null) values.set(name, made);
    const found = dimsRule(proto.opType)?.(context) ?? null;
    const told = dims.get(name) ?? null;
    if (told === null) {
      if (found !== null) dims.set(name, found);
    } else if (found !== null && found.length !== told.length) isContradicted = true;
  }
  return { dims, isContradicted };
}

export function contextOf(
  node: NodeProto,
  dims: ReadonlyMap<string, Dims>,
  values: ReadonlyMap<string, readonly Dim[]>,
): DimsContext {
  const attribute = (name: string): NodeProto["attribute"][number] | undefined =>
    node.attribute.find((candidate) => candidate.name === name);
  return {
    inputs: node.input.length,
    input: (index) => dims.get(node.input[index] ?? "") ?? null,
    values: (index) => values.get(node.input[index] ?? "") ?? null,
    int: (name, otherwise) => Number(attribute(name)?.i ?? otherwise),
    ints: (name) => attribute(name)?.ints.map(Number) ?? null,
  };
}

/** Follows sizes from Shape through Gather, Unsqueeze and Concat, as exporters write them for Reshape. */
export function valuesMade(operator: string, { inputs, input, values, int }: DimsContext): readonly Dim[] | null {
  if (operator === "Shape") return int("start", 0) === 0 && int("end", 0) === 0 ? input(0) : null;
  if (operator === "Unsqueeze" || operator === "Squeeze" || operator === "Cast" || operator === "Identity")
    return values(0);
  if (operator === "Gather") {
    const [sizes, at] = [values(0), values(1)];
    return sizes === null || at === null ? null : at.map((index) => sizes.at(Number(index ?? 0)) ?? null);
  }
  if (operator !== "Concat") return null;
  const parts: Dim[] = [];
  for (let i = 0; i < inputs; i++) {
    const part = values(i) ?? (input(i)?.length === 1 && input(i)?.[0] === 1 ? [null] : null);
    if (part === null) return null;
    parts.push(...part);
  }
  return parts;
}

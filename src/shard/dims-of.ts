import { constantInts, type Dim, type Dims, declaredDims } from "./dims.ts";
import { type DimsContext, dimsRule } from "./dims-rules.ts";
import type { Graph } from "./graph.ts";
import { oncePer } from "./memo.ts";
import type { NodeProto } from "./model.ts";

/**
 * What is certain about the dims of a graph's tensors. onnxruntime fuses some nodes only where it knows the shapes, so a shard
 * that is told them does the same arithmetic as the whole model (seeded encoders: without them the last bit differs).
 */
export const dimsOf = oncePer((graph: Graph): ReadonlyMap<string, Dims> => {
  const dims = new Map<string, Dims>();
  /** Values of small int64 tensors: shapes on their way into Reshape. */
  const values = new Map<string, readonly Dim[]>();
  const { input, valueInfo } = graph.model.graph;
  for (const value of [...valueInfo, ...input]) dims.set(value.name, declaredDims(value));
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
    if ((dims.get(name) ?? null) !== null) continue;
    const found = dimsRule(proto.opType)?.(context) ?? null;
    if (found !== null) dims.set(name, found);
  }
  return dims;
});

function contextOf(
  node: NodeProto,
  dims: ReadonlyMap<string, Dims>,
  values: ReadonlyMap<string, readonly Dim[]>,
): DimsContext {
  const attribute = (name: string): NodeProto["attribute"][number] | undefined =>
    node.attribute.find((candidate) => candidate.name === name);
  return {
    input: (index) => dims.get(node.input[index] ?? "") ?? null,
    values: (index) => values.get(node.input[index] ?? "") ?? null,
    int: (name, otherwise) => Number(attribute(name)?.i ?? otherwise),
    ints: (name) => attribute(name)?.ints.map(Number) ?? null,
  };
}

/** Follows sizes from Shape through Gather, Unsqueeze and Concat, as exporters write them for Reshape. */
function valuesMade(operator: string, { input, values, int }: DimsContext): readonly Dim[] | null {
  if (operator === "Shape") return int("start", 0) === 0 && int("end", 0) === 0 ? input(0) : null;
  if (operator === "Unsqueeze" || operator === "Squeeze" || operator === "Cast" || operator === "Identity")
    return values(0);
  if (operator === "Gather") {
    const [sizes, at] = [values(0), values(1)];
    return sizes === null || at === null ? null : at.map((index) => sizes.at(Number(index ?? 0)) ?? null);
  }
  if (operator !== "Concat") return null;
  const parts: Dim[] = [];
  for (let i = 0; values(i) !== null || input(i) !== null; i++) {
    const part = values(i) ?? (input(i)?.length === 1 && input(i)?.[0] === 1 ? [null] : null);
    if (part === null) return null;
    parts.push(...part);
  }
  return parts;
}

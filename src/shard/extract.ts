import { HoldfastError } from "../base/errors.ts";
import { closureOf } from "./closure.ts";
import { dimsOf, isDeclaredRight } from "./dims-of.ts";
import { type Graph, graphOf } from "./graph.ts";
import { FLOAT, isShippedWide, shipWide } from "./halves.ts";
import { type Hoisted, hoistWeights } from "./hoist.ts";
import {
  copyTensor,
  createGraph,
  createShapes,
  createValueInfo,
  serialiseModel,
  type ValueInfoProto,
  withGraph,
} from "./model.ts";
import type { Skeleton } from "./skeleton.ts";
import { ROWS_WRITTEN, ROWS_WRITTEN_RANK, type ShardPlan } from "./types.ts";
import { dataTypesOf } from "./types-of.ts";

const INT64 = 7;

/**
 * A shard as an ONNX model of its own, without its large weights: each is external data, its `location` the path of a WeightRange
 * of the shard, at offset 0.
 * @throws HoldfastError INTERNAL if the plan was not made for this skeleton.
 */
export function extractShard(skeleton: Skeleton, plan: ShardPlan, index: number): Uint8Array {
  const shard = plan.shards[index];
  if (shard === undefined) throw new HoldfastError("INTERNAL", `the plan has no shard ${index}`);
  const graph = graphOf(skeleton);
  const given = [...shard.inputs, ...shard.state.map((binding) => binding.input.name)];
  const closure = closureOf(graph, shard.outputs, new Set(given));
  const missing = [...closure.sources].find((name) => !given.includes(name));
  if (missing !== undefined)
    throw new HoldfastError("INTERNAL", `shard ${index} needs ${missing}, which the plan does not give it`);
  const { shapes = [] } = shard;
  const declare = declarationsOf(graph);
  const { name, docString, metadataProps } = graph.model.graph;
  const inside = new Set([...given, ...closure.nodes.flatMap((node) => node.outputs)]);
  const around = new Set([...given, ...shard.outputs]);
  const hoisted: Hoisted = [];
  const nodes = closure.nodes.map((node) => ({ node, proto: hoistWeights(graph, node.proto, hoisted) }));
  const constants = closure.constants.map((own) =>
    copyTensor(own.tensor, own.name, own.range?.path ?? null, own.bytes),
  );
  const own = createGraph({
    ...{ name: `${name}/${index}`, docString, metadataProps },
    node: [
      ...shipWide(graph, nodes, given, shard.outputs),
      ...(shapes.length > 0 ? createShapes(shapes, ROWS_WRITTEN) : []),
    ],
    initializer: [...constants, ...hoisted],
    input: given.map((input) => declare(input)),
    output: [...shard.outputs.map((output) => declare(output)), ...tellsShapes(shapes)],
    valueInfo: valueInfoOf(graph).filter((value) => inside.has(value.name) && !around.has(value.name)),
    quantizationAnnotation: graph.model.graph.quantizationAnnotation.filter((note) => inside.has(note.tensorName)),
  });
  return serialiseModel(withGraph(graph.model, own));
}

function tellsShapes({ length }: readonly string[]): ValueInfoProto[] {
  return length === 0 ? [] : [createValueInfo(ROWS_WRITTEN, INT64, [length * ROWS_WRITTEN_RANK])];
}

/** A name as a graph input or output: as the original declares it, else with its element type and what is known of its shape. */
function declarationsOf(graph: Graph): (name: string) => ValueInfoProto {
  const { input, output } = graph.model.graph;
  const declared = new Map([...valueInfoOf(graph), ...output, ...input].map((value) => [value.name, value]));
  const types = dataTypesOf(graph);
  const dims = dimsOf(graph);
  return (name) => {
    if (isShippedWide(graph, name)) return createValueInfo(name, FLOAT, dims.get(name) ?? null);
    return declared.get(name) ?? createValueInfo(name, types.get(name) ?? 0, dims.get(name) ?? null);
  };
}

function valueInfoOf(graph: Graph): readonly ValueInfoProto[] {
  return isDeclaredRight(graph) ? graph.model.graph.valueInfo : [];
}

import { bodiesOf } from "./captures.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { createCast, createNode, type NodeProto } from "./model.ts";
import { dataTypesOf } from "./types-of.ts";

/*
 * The wasm provider computes most operators on halves in fp32: onnxruntime puts a cast before and behind each, and takes casts
 * between neighbours out again, so that nothing is rounded between them (InsertCastTransformer, RemoveDuplicateCastTransformer).
 * A half that crosses a cut is therefore shipped as fp32, between two casts that onnxruntime takes for its own, by their name.
 */
export const FLOAT = 1;
const FLOAT16 = 10;
const PREFIX = "InsertedPrecisionFreeCast_";

/** Operators that have no fp16 kernel on the CPU. */
const WIDENED = new Set(
  (
    "Add Sub Mul Div Pow Sqrt Reciprocal Exp Erf Tanh Sigmoid Neg Relu Softmax MatMul Conv Gelu FastGelu QuickGelu BiasGelu " +
    "ReduceMean ReduceSum Sin Cos"
  ).split(" "),
);

/** Whether a tensor crosses cuts as fp32 though it is fp16: what nodes make and no caller sees. */
export function isShippedWide(graph: Graph, name: string): boolean {
  const isHalf = graph.producers.has(name) && dataTypesOf(graph).get(name) === FLOAT16;
  return isHalf && !isResult(graph, name);
}

/** The readers of a half which a cut may not part from its producer, because one of them would then round. */
export function boundReaders(graph: Graph, producer: GraphNode, name: string): readonly GraphNode[] {
  if (dataTypesOf(graph).get(name) !== FLOAT16) return [];
  const readers = graph.consumers.get(name) ?? [];
  if (isResult(graph, name) || readers.some((reader) => makesResult(graph, reader))) return readers;
  return readers.filter((reader) => {
    if (isCast(reader)) return isCast(producer) || castType(reader.proto) !== FLOAT;
    return bodiesOf(reader.proto).length > 0;
  });
}

/**
 * Whether a half that is never rounded between two widened nodes is also widened for the caller by a Cast of the model's own. That
 * Cast has to stay; which others onnxruntime then takes out depends on all else in the graph, so that a cut anywhere changes the
 * last bits.
 */
export function isRoundingUncertain(graph: Graph): boolean {
  const types = dataTypesOf(graph);
  return graph.nodes.some(
    (node) =>
      WIDENED.has(node.proto.opType) &&
      node.outputs.some((name) => {
        const readers = types.get(name) === FLOAT16 ? (graph.consumers.get(name) ?? []) : [];
        const isForCaller = readers.some((reader) => makesResult(graph, reader));
        return isForCaller && readers.some((reader) => WIDENED.has(reader.proto.opType));
      }),
  );
}

function isResult(graph: Graph, name: string): boolean {
  return graph.outputs.some((value) => value.name === name);
}

function makesResult(graph: Graph, node: GraphNode): boolean {
  return isCast(node) && node.outputs.some((name) => isResult(graph, name));
}

/** A shard's nodes with the casts that take wide tensors in and give them out. */
export function shipWide(
  graph: Graph,
  nodes: readonly { readonly node: GraphNode; readonly proto: NodeProto }[],
  given: readonly string[],
  made: readonly string[],
): NodeProto[] {
  const taken = given.filter((name) => isShippedWide(graph, name));
  const left = made.filter((name) => isShippedWide(graph, name));
  const wide = new Set([...taken, ...left]);
  if (wide.size === 0) return nodes.map(({ proto }) => proto);
  const half = (name: string): string => (wide.has(name) ? `${name}/half` : name);
  const inner = nodes.map(({ node, proto }) => {
    const isFarAway = taken.length > 0 && isAlone(graph, node);
    const read = (name: string): string => (isFarAway && taken.includes(name) ? `${half(name)}/again` : half(name));
    return createNode({ ...proto, input: proto.input.map(read), output: proto.output.map(half) });
  });
  return [
    ...taken.flatMap((name) => takeIn(name, half(name))),
    ...inner,
    ...left.flatMap((name) => giveOut(graph, name)),
  ];
}

/**
 * A node that is widened only for its neighbours' sake reads `half/again`: the cast is no such neighbour, two negations, which
 * are, stand between the two.
 */
function takeIn(name: string, half: string): NodeProto[] {
  return [createCast(`${PREFIX}${name}`, name, half, FLOAT16), ...twiceNegated(half, `${half}/again`)];
}

/**
 * The same on the way out. Where a node with an fp16 kernel reads the half too, onnxruntime keeps its own cast, and a cast that made
 * the shard's output would read what that one rounded; one in the middle is taken out, so here negations in fp32 come last.
 */
function giveOut(graph: Graph, name: string): NodeProto[] {
  const half = `${name}/half`;
  const producer = graph.producers.get(name);
  if (producer !== undefined && isAlone(graph, producer)) {
    return [...twiceNegated(half, `${half}/again`), createCast(`${PREFIX}${name}`, `${half}/again`, name, FLOAT)];
  }
  const isRoundedToo = (graph.consumers.get(name) ?? []).some((reader) => hasOwnKernel(reader));
  if (!isRoundedToo) return [createCast(`${PREFIX}${name}`, half, name, FLOAT)];
  return [createCast(`${PREFIX}${name}`, half, `${name}/wide`, FLOAT), ...twiceNegated(`${name}/wide`, name)];
}

function twiceNegated(input: string, output: string): NodeProto[] {
  const between = `${output}/negated`;
  return [
    createNode({ opType: "Neg", input: [input], output: [between] }),
    createNode({ opType: "Neg", input: [between], output: [output] }),
  ];
}

/** Whether a node may have an fp16 kernel but only neighbours that have none. */
function isAlone(graph: Graph, node: GraphNode): boolean {
  if (!hasOwnKernel(node) || bodiesOf(node.proto).length > 0) return false;
  const types = dataTypesOf(graph);
  const before = node.inputs.filter((name) => types.get(name) === FLOAT16).map((name) => graph.producers.get(name));
  const behind = node.outputs
    .filter((name) => types.get(name) === FLOAT16)
    .flatMap((name) => graph.consumers.get(name));
  return ![...before, ...behind].some((other) => other !== undefined && (isCast(other) || hasOwnKernel(other)));
}

function hasOwnKernel(node: GraphNode): boolean {
  return !WIDENED.has(node.proto.opType) && !isCast(node);
}

function isCast(node: GraphNode): boolean {
  return node.proto.opType === "Cast";
}

function castType(node: NodeProto): number {
  return Number(node.attribute.find((attribute) => attribute.name === "to")?.i ?? 0n);
}

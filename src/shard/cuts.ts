import { fusedWith } from "./fusion.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { boundReaders, isRoundingUncertain } from "./halves.ts";
import { type Kinds, kindsOf } from "./kinds.ts";
import { TINY_WIDTH } from "./limits.ts";
import { type NodeCost, nodeCosts } from "./node-cost.ts";
import { placeNodes } from "./placement.ts";
import type { StateBinding } from "./types.ts";
import { dataTypesOf, elementType } from "./types-of.ts";

/** Why no cut may be made at a place. */
export type Obstacle = "type" | "binding" | "fusion" | "rounding";

/**
 * The places where a graph may be cut. Cut p lies between nodes[p - 1] and nodes[p] (0 < p < nodes.length); only nodes that run in
 * one shard are counted, cheap and constant ones are rebuilt wherever they are needed.
 */
export interface CutSpace {
  readonly nodes: readonly GraphNode[];
  readonly costs: readonly NodeCost[];
  /** How many tensors cross cut p; tiny ones count next to nothing. */
  readonly width: (p: number) => number;
  readonly obstacles: (p: number) => readonly Obstacle[];
  /** Names that cross cut p, sorted: results of earlier nodes and feeds that later shards or the caller need. */
  readonly crossing: (p: number) => readonly string[];
  /** Which cuts each tensor crosses. */
  readonly spans: readonly Span[];
  readonly kinds: Kinds;
}

const OBSTACLES: readonly Obstacle[] = ["type", "binding", "fusion", "rounding"];

/** A tensor crosses every cut p with first <= p <= last. */
export interface Span {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

export function cutSpace(graph: Graph, bindings: readonly StateBinding[]): CutSpace {
  const types = dataTypesOf(graph);
  const kinds = kindsOf(graph, types, bindings);
  const nodes = placeNodes(graph, kinds, bindings);
  const places = new Map(nodes.map((node, place) => [node, place]));
  const isRebuilt = (node: GraphNode): boolean => !places.has(node);
  const spans = spansOf(graph, bindings, places, isRebuilt);
  const widths = sums(
    nodes.length,
    spans.map((span) => ({ ...span, amount: kinds.tiny.has(span.name) ? TINY_WIDTH : 1 })),
  );
  const unknown = spans.filter((span) => elementType(types, span.name) === null);
  const obstacles = {
    type: sums(nodes.length, unknown),
    binding: sums(nodes.length, bindingSpans(graph, bindings, places)),
    fusion: sums(nodes.length, fusionSpans(graph, places)),
    rounding: new Float64Array(isRoundingUncertain(graph) ? nodes.length + 1 : 0).fill(1),
  };
  return {
    nodes,
    costs: nodeCosts(graph, kinds, nodes),
    width: (p) => widths[p] ?? 0,
    obstacles: (p) => OBSTACLES.filter((obstacle) => (obstacles[obstacle][p] ?? 0) > 0),
    crossing: (p) =>
      spans
        .filter(({ first, last }) => first <= p && p <= last)
        .map(({ name }) => name)
        .sort(),
    spans,
    kinds,
  };
}

function spansOf(
  graph: Graph,
  bindings: readonly StateBinding[],
  places: ReadonlyMap<GraphNode, number>,
  isRebuilt: (node: GraphNode) => boolean,
): Span[] {
  const stateInputs = new Set(bindings.map((binding) => binding.input.name));
  const stateOutputs = new Set(bindings.map((binding) => binding.output));
  const last = new Map<string, number>();
  const need = (name: string, place: number): void => void last.set(name, Math.max(place, last.get(name) ?? 0));
  const leaves = leavesOf(graph, isRebuilt);
  for (const [node, place] of places)
    for (const name of node.inputs) for (const leaf of leaves(name)) need(leaf, place);
  for (const { name } of graph.outputs) {
    if (!stateOutputs.has(name)) for (const leaf of leaves(name)) need(leaf, places.size);
  }
  return [...last].flatMap(([name, end]) => {
    if (stateInputs.has(name)) return [];
    const producer = graph.producers.get(name);
    return [{ name, first: producer === undefined ? 1 : (places.get(producer) ?? 0) + 1, last: end }];
  });
}

/** The feeds and results of real nodes from which a name is made. */
function leavesOf(graph: Graph, isRebuilt: (node: GraphNode) => boolean): (name: string) => ReadonlySet<string> {
  const known = new Map<string, ReadonlySet<string>>();
  const leaves = (name: string): ReadonlySet<string> => {
    const producer = graph.producers.get(name);
    if (producer === undefined) return new Set(graph.constants.has(name) ? [] : [name]);
    return isRebuilt(producer) ? (known.get(name) ?? new Set()) : new Set([name]);
  };
  for (const node of graph.nodes) {
    if (!isRebuilt(node)) continue;
    const all = new Set(node.inputs.flatMap((name) => [...leaves(name)]));
    for (const name of node.outputs) known.set(name, all);
  }
  return leaves;
}

/** A state's readers, its writer and the cuts between them. */
function bindingSpans(graph: Graph, bindings: readonly StateBinding[], places: ReadonlyMap<GraphNode, number>): Span[] {
  return bindings.flatMap(({ input, output }) => {
    const writer = graph.producers.get(output);
    const nodes = [...(graph.consumers.get(input.name) ?? []), ...(writer === undefined ? [] : [writer])];
    const at = nodes.map((node) => places.get(node)).filter((place) => place !== undefined);
    return at.length === 0 ? [] : [{ name: output, first: Math.min(...at) + 1, last: Math.max(...at) }];
  });
}

function fusionSpans(graph: Graph, places: ReadonlyMap<GraphNode, number>): Span[] {
  return [...places].flatMap(([node, place]) =>
    node.outputs.flatMap((name) => {
      const bound = [fusedWith(graph, node, name) ?? [], boundReaders(graph, node, name)].flat();
      return bound.flatMap((reader) => ({ name, first: place + 1, last: places.get(reader) ?? place }));
    }),
  );
}

/** For every cut, the amounts of the spans that it crosses. */
function sums(length: number, spans: readonly (Span & { amount?: number })[]): Float64Array {
  const change = new Float64Array(length + 2);
  for (const { first, last, amount = 1 } of spans) {
    if (last < first) continue;
    change[first] = (change[first] ?? 0) + amount;
    change[last + 1] = (change[last + 1] ?? 0) - amount;
  }
  let sum = 0;
  return change.map((value) => {
    sum += value;
    return Math.round(sum * 1e6) / 1e6;
  });
}

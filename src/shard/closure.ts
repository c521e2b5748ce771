import type { Graph, GraphNode } from "./graph.ts";
import type { WeightRange } from "./types.ts";
import { bodyRanges, type Constant } from "./weights.ts";

/** What a shard's outputs are made of. */
export interface Closure {
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly Constant[];
  /** Names at which the search stopped or that nothing makes. */
  readonly sources: ReadonlySet<string>;
  readonly ranges: readonly WeightRange[];
  /** Bytes of the ranges and of what stays inline. */
  readonly weightBytes: number;
}

/** Everything that `outputs` need, back to `given` names. */
export function closureOf(graph: Graph, outputs: readonly string[], given: ReadonlySet<string>): Closure {
  const nodes = new Set<GraphNode>();
  const constants = new Set<Constant>();
  const sources = new Set<string>();
  const open = [...outputs];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const constant = graph.constants.get(name);
    const producer = graph.producers.get(name);
    if (constant !== undefined) constants.add(constant);
    else if (given.has(name) || producer === undefined) sources.add(name);
    else if (!nodes.has(producer)) {
      nodes.add(producer);
      open.push(...producer.inputs);
    }
  }
  const sorted = [...nodes].sort((a, b) => a.index - b.index);
  const own = [...constants].sort((a, b) => (a.name < b.name ? -1 : 1));
  const inner = sorted.flatMap((node) => bodyRanges(node.proto, graph.ranges));
  const ranges = [...own.flatMap((constant) => constant.range ?? []), ...inner];
  const bytes = [...own, ...inner.map((range) => ({ bytes: range.length }))].reduce((sum, item) => sum + item.bytes, 0);
  return { nodes: sorted, constants: own, sources, ranges, weightBytes: bytes };
}

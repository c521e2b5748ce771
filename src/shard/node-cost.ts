import type { Graph, GraphNode } from "./graph.ts";
import type { Kinds } from "./kinds.ts";
import { INLINE_BYTES_MAX, NODE_COST_SHARE } from "./limits.ts";
import { bodyRanges } from "./weights.ts";

/** What a node weighs when shards are balanced, and whether it has weights of its own. */
export interface NodeCost {
  readonly cost: number;
  readonly hasWeights: boolean;
}

/** Weight bytes, and a little for the node itself: convolutions have few weights and much work. */
export function nodeCosts(graph: Graph, kinds: Kinds, nodes: readonly GraphNode[]): NodeCost[] {
  const weights = nodes.map((node) => {
    const inner = bodyRanges(node.proto, graph.ranges).reduce((sum, range) => sum + range.length, 0);
    const sizes = node.inputs.map((name) => ({
      bytes: constantBytes(graph, kinds, name),
      readers: readersOf(graph, name),
    }));
    // A table that many nodes read (a cosine cache) says nothing about where the work is.
    const outer = sizes.reduce((sum, { bytes, readers }) => sum + (readers > 2 ? bytes / readers : bytes), 0);
    return {
      bytes: inner + outer,
      hasWeights: [inner, ...sizes.map(({ bytes }) => bytes)].some((n) => n > INLINE_BYTES_MAX),
    };
  });
  const total = weights.reduce((sum, { bytes }) => sum + bytes, 0);
  const perNode = Math.max(1, (total * NODE_COST_SHARE) / Math.max(1, nodes.length));
  return weights.map(({ bytes, hasWeights }) => ({ cost: bytes + perNode, hasWeights }));
}

function constantBytes(graph: Graph, kinds: Kinds, name: string): number {
  const producer = graph.producers.get(name);
  if (producer === undefined) return graph.constants.get(name)?.bytes ?? 0;
  return kinds.of(producer) === "constant" ? kinds.constantBytes(producer) : 0;
}

function readersOf(graph: Graph, name: string): number {
  return graph.consumers.get(name)?.length ?? 0;
}

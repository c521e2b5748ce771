import type { Graph, GraphNode } from "./graph.ts";
import type { Kinds } from "./kinds.ts";
import type { StateBinding } from "./types.ts";

/**
 * The nodes that run in one shard, in the order in which cuts fall between them. A node that only asks for a shape stands right
 * behind what makes the tensor, so that the few numbers travel and not the tensor; the shape of a state is asked for where its
 * layer is.
 */
export function placeNodes(graph: Graph, kinds: Kinds, bindings: readonly StateBinding[]): GraphNode[] {
  const stateInputs = new Set(bindings.map((binding) => binding.input.name));
  const real = graph.nodes.filter((node) => kinds.of(node) === "real");
  const askers = new Map<GraphNode | null, GraphNode[]>();
  const moved = new Set<GraphNode>();
  for (const node of real) {
    const [source, ...others] = node.inputs;
    if (!kinds.asksShape(node) || source === undefined || stateInputs.has(source)) continue;
    // Of a damaged graph: what else it reads may be made later.
    if (others.length > 0) continue;
    const producer = graph.producers.get(source) ?? null;
    if (producer !== null && kinds.of(producer) !== "real") continue;
    moved.add(node);
    askers.set(producer, [...(askers.get(producer) ?? []), node]);
  }
  const behind = (node: GraphNode | null): GraphNode[] => askers.get(node) ?? [];
  return [...behind(null), ...real.filter((node) => !moved.has(node)).flatMap((node) => [node, ...behind(node)])];
}

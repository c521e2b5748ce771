import type { CutSpace } from "./cuts.ts";
import type { Graph } from "./graph.ts";
import { INLINE_BYTES_MAX } from "./limits.ts";
import type { Constant } from "./weights.ts";

/** For every place of a cut space, the constants that its node needs; through nodes that are rebuilt beside it, the large ones. */
export function constantsRead(graph: Graph, space: CutSpace): Constant[][] {
  const placed = new Set(space.nodes);
  const known = new Map<string, ReadonlySet<Constant>>();
  const reach = (name: string): Iterable<Constant> => {
    const constant = graph.constants.get(name);
    return constant === undefined ? (known.get(name) ?? []) : [constant];
  };
  for (const node of graph.nodes) {
    if (placed.has(node)) continue;
    const all = new Set(
      node.inputs.flatMap((name) => [...reach(name)].filter(({ bytes }) => bytes > INLINE_BYTES_MAX)),
    );
    for (const name of node.outputs) known.set(name, all);
  }
  return space.nodes.map((node) => [...new Set(node.inputs.flatMap((name) => [...reach(name)]))]);
}

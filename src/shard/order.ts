import { HoldfastError } from "../base/errors.ts";

/** A node by the names it reads and writes. */
export interface Dataflow {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * The nodes that `results` need, each as late as its first use allows, so that few tensors live at once. The order follows the
 * graph alone, not the file, which may be unsorted.
 * @throws HoldfastError BAD_MODEL if the graph has a cycle.
 */
export function lazyOrder<Node extends Dataflow>(nodes: readonly Node[], results: readonly string[]): Node[] {
  const producers = new Map<string, Node>();
  for (const node of nodes) for (const name of node.outputs) producers.set(name, node);
  const before = (names: readonly string[]): Node[] => [
    ...new Set(names.map((name) => producers.get(name)).filter((node) => node !== undefined)),
  ];
  const roots = before(results);
  const depths = new Map<Node, number>();
  const depthOf = (node: Node): number => depths.get(node) ?? 0;
  const inputs = new Map<Node, Node[]>();
  for (const node of postOrder(roots, (node) => before(node.inputs))) {
    const inner = before(node.inputs);
    inputs.set(node, inner);
    depths.set(
      node,
      inner.reduce((depth, input) => Math.max(depth, depthOf(input) + 1), 0),
    );
  }
  const byDepth = (list: readonly Node[]): Node[] => list.toSorted((a, b) => depthOf(a) - depthOf(b));
  return postOrder(byDepth(roots), (node) => byDepth(inputs.get(node) ?? []));
}

function postOrder<Node>(roots: readonly Node[], before: (node: Node) => readonly Node[]): Node[] {
  const order: Node[] = [];
  const open = new Set<Node>();
  const done = new Set<Node>();
  const stack: { node: Node; before: readonly Node[]; next: number }[] = [];
  const enter = (node: Node): void => {
    if (done.has(node)) return;
    if (open.has(node)) throw new HoldfastError("BAD_MODEL", "the graph has a cycle: export the model again");
    open.add(node);
    stack.push({ node, before: before(node), next: 0 });
  };
  for (const root of roots) {
    enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const input = top.before[top.next];
      top.next += 1;
      if (input !== undefined) {
        enter(input);
        continue;
      }
      stack.pop();
      done.add(top.node);
      order.push(top.node);
    }
  }
  return order;
}

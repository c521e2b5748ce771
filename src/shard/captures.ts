import type { GraphProto, NodeProto } from "./model.ts";

/** The bodies of If, Loop and Scan nodes. */
export function bodiesOf(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) => (attribute.g === undefined ? attribute.graphs : [attribute.g]));
}

/** Every name that a node reads, once each: its inputs and what its bodies capture from outside, at any depth. */
export function namesRead(node: NodeProto): string[] {
  const names = new Set(node.input.filter((name) => name !== ""));
  for (const body of bodiesOf(node)) for (const name of captured(body)) names.add(name);
  return [...names];
}

function captured(body: GraphProto): string[] {
  const own = new Set(body.input.map((value) => value.name));
  for (const tensor of body.initializer) own.add(tensor.name);
  for (const sparse of body.sparseInitializer) own.add(sparse.values?.name ?? "");
  for (const node of body.node) for (const name of node.output) own.add(name);
  const used = body.node.flatMap((node) => namesRead(node));
  for (const value of body.output) used.push(value.name);
  return used.filter((name) => !own.has(name));
}

import { HoldfastError } from "../base/errors.ts";
import { bodiesOf } from "./captures.ts";
import { FUNCTION_NODES_MAX, NESTING_MAX } from "./limits.ts";
import {
  type AttributeProto,
  changeAttributes,
  changeBodies,
  createGraph,
  createNode,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from "./model.ts";

/**
 * A model's graph with the calls of its own functions replaced by what is in them, as onnxruntime does before it fuses. A function
 * of another version of an operator set stays a call.
 * @throws HoldfastError BAD_MODEL if functions call each other in a circle, or would make more than FUNCTION_NODES_MAX nodes.
 */
export function inlineFunctions(model: ModelProto & { graph: GraphProto }): GraphProto {
  if (model.functions.length === 0) return model.graph;
  const versions = new Map(model.opsetImport.map(({ domain, version }) => [domainOf(domain), version]));
  const usable = model.functions.filter((fn) =>
    fn.opsetImport.every(({ domain, version }) => (versions.get(domainOf(domain)) ?? version) === version),
  );
  const functions = new Map(usable.map((fn) => [keyOf(fn.domain, fn.name, fn.overload), fn]));
  let made = 0;
  let calls = 0;
  const expand = (nodes: readonly NodeProto[], depth: number): NodeProto[] =>
    nodes.flatMap((node) => {
      const inside =
        bodiesOf(node).length === 0
          ? node
          : changeBodies(node, (body) => createGraph({ ...body, node: expand(body.node, depth) }));
      const fn = functions.get(keyOf(node.domain, node.opType, node.overload));
      made += depth > 0 ? 1 : 0;
      if (made > FUNCTION_NODES_MAX || depth > NESTING_MAX) {
        throw new HoldfastError(
          "BAD_MODEL",
          "the model's functions call each other without end: export the model again",
        );
      }
      calls += fn === undefined ? 0 : 1;
      return fn === undefined
        ? [inside]
        : expand(bodyOf(fn, inside, `${node.name || node.opType}#${calls}`), depth + 1);
    });
  return createGraph({ ...model.graph, node: expand(model.graph.node, 0) });
}

/** A function's nodes as they stand in one call: under the call's names, with the call's attributes. */
function bodyOf(fn: FunctionProto, call: NodeProto, prefix: string): NodeProto[] {
  const names = new Map<string, string>([["", ""]]);
  for (const [i, name] of fn.input.entries()) names.set(name, call.input[i] ?? "");
  for (const node of fn.node) for (const name of node.output) if (name !== "") names.set(name, `${prefix}/${name}`);
  for (const [i, name] of fn.output.entries()) if ((call.output[i] ?? "") !== "") names.set(name, call.output[i] ?? "");
  const given = new Map([...fn.attributeProto, ...call.attribute].map((attribute) => [attribute.name, attribute]));
  return fn.node.map((node) => renamed(node, names, given, prefix));
}

function renamed(
  node: NodeProto,
  names: ReadonlyMap<string, string>,
  given: ReadonlyMap<string, AttributeProto>,
  prefix: string,
): NodeProto {
  const rename = (name: string): string => names.get(name) ?? name;
  const changed = changeAttributes(
    node,
    (attribute) => (attribute.refAttrName === "" ? attribute : (given.get(attribute.refAttrName) ?? null)),
    (body) => renamedBody(body, names, given, prefix),
  );
  return createNode({
    ...changed,
    name: node.name === "" ? "" : `${prefix}/${node.name}`,
    input: node.input.map(rename),
    output: node.output.map(rename),
  });
}

/** A body captures the function's names, but for those that it defines itself. */
function renamedBody(
  body: GraphProto,
  outer: ReadonlyMap<string, string>,
  given: ReadonlyMap<string, AttributeProto>,
  prefix: string,
): GraphProto {
  const names = new Map(outer);
  for (const { name } of [...body.input, ...body.initializer]) names.delete(name);
  for (const node of body.node) for (const name of node.output) if (name !== "") names.delete(name);
  const node = body.node.map((inner) => renamed(inner, names, given, prefix));
  for (const { name } of body.output) {
    const captured = names.get(name);
    if (captured !== undefined) node.push(createNode({ opType: "Identity", input: [captured], output: [name] }));
  }
  return createGraph({ ...body, node });
}

/** Tells calls of a model's own functions that are left in its graph. */
export function functionCalls(model: ModelProto): (node: NodeProto) => boolean {
  const keys = new Set(model.functions.map((fn) => keyOf(fn.domain, fn.name, fn.overload)));
  return (node) => keys.size > 0 && keys.has(keyOf(node.domain, node.opType, node.overload));
}

function keyOf(domain: string, name: string, overload: string): string {
  return `${domainOf(domain)}\n${name}\n${overload}`;
}

function domainOf(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

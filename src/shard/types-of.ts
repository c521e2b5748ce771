import type { ElementType } from "../base/tensor.ts";
import { namesRead } from "./captures.ts";
import { elementTypeOf, isDataType } from "./element-types.ts";
import type { Graph } from "./graph.ts";
import { oncePer } from "./memo.ts";
import type { AttributeProto, GraphProto, NodeProto, ValueInfoProto } from "./model.ts";
import { lazyOrder } from "./order.ts";
import { type TypeRule, typeRule } from "./type-rules.ts";

/** ONNX data types by tensor name; a name that is absent has no known type. */
export type DataTypes = ReadonlyMap<string, number>;
type Growing = Map<string, number>;

/** The data type of every tensor of the graph that its declarations or the operators' rules tell. */
export const dataTypesOf = oncePer((graph: Graph): DataTypes => {
  const types: Growing = new Map();
  const { input, output, valueInfo } = graph.model.graph;
  declare(types, [...valueInfo, ...output, ...input]);
  for (const constant of graph.constants.values()) types.set(constant.name, constant.tensor.dataType);
  for (const node of graph.nodes) inferNode(types, node.proto);
  return types;
});

export function elementType(types: DataTypes, name: string): ElementType | null {
  return elementTypeOf(types.get(name) ?? 0);
}

/** The element type that a declaration gives; 0 if it is no tensor. */
export function declaredType(value: ValueInfoProto): number {
  return value.type?.value.case === "tensorType" ? value.type.value.value.elemType : 0;
}

function declare(types: Growing, values: readonly ValueInfoProto[]): void {
  for (const value of values) {
    const type = declaredType(value);
    if (type !== 0) types.set(value.name, type);
  }
}

/** Data types of what a Constant node gives by a plain attribute. */
const PLAIN: Readonly<Record<string, number>> = {
  ...{ value_float: 1, value_floats: 1, value_int: 7, value_ints: 7, value_string: 8, value_strings: 8 },
};

function inferNode(types: Growing, node: NodeProto): void {
  const bodyTypes = node.opType === "Constant" ? [PLAIN[node.attribute[0]?.name ?? ""] ?? 0] : bodyOutputs(types, node);
  for (const [i, name] of node.output.entries()) {
    if (name === "" || types.has(name)) continue;
    const type = bodyTypes === null ? apply(types, node, typeRule(node.domain, node.opType, i)) : (bodyTypes[i] ?? 0);
    if (type !== 0) types.set(name, type);
  }
}

function apply(types: DataTypes, node: NodeProto, rule: TypeRule | null): number {
  if (rule === null) return 0;
  if (rule.kind === "fixed") return rule.dataType;
  const known = rule.kind === "input" ? types.get(node.input[rule.index] ?? "") : attributeType(node, rule);
  return known ?? (isGiven(node, rule) ? 0 : apply(types, node, rule.otherwise));
}

/** An input that is there but has no known type does not fall back to the rule's default. */
function isGiven(node: NodeProto, rule: TypeRule): boolean {
  return rule.kind === "input" && (node.input[rule.index] ?? "") !== "";
}

function attributeType(node: NodeProto, rule: TypeRule & { name: string }): number | undefined {
  const found = node.attribute.find((attribute) => attribute.name === rule.name);
  if (rule.kind === "tensor") return found?.t?.dataType;
  if (found === undefined || found.i === 0n) return undefined;
  return isDataType(Number(found.i)) ? Number(found.i) : 0;
}

/** Types of the outputs of If, Loop and Scan; null for other operators. */
function bodyOutputs(types: DataTypes, node: NodeProto): number[] | null {
  const body = (name: string): GraphProto | undefined => graphAttribute(node.attribute, name);
  if (node.opType === "If") {
    const then = body("then_branch");
    const other = body("else_branch");
    const both = [then, other].map((branch) => (branch === undefined ? [] : inferBody(types, branch, [])));
    return (both[0] ?? []).map((type, i) => type || (both[1]?.[i] ?? 0));
  }
  const inner = node.opType === "Loop" || node.opType === "Scan" ? body("body") : undefined;
  if (inner === undefined) return null;
  const given = node.input.map((name) => types.get(name) ?? 0);
  if (node.opType === "Loop") return inferBody(types, inner, [7, 9, ...given.slice(2)]).slice(1);
  return inferBody(types, inner, given);
}

function graphAttribute(attributes: readonly AttributeProto[], name: string): GraphProto | undefined {
  return attributes.find((attribute) => attribute.name === name)?.g;
}

function inferBody(outer: DataTypes, body: GraphProto, given: readonly number[]): number[] {
  const types: Growing = new Map(outer);
  for (const [i, value] of body.input.entries()) if ((given[i] ?? 0) !== 0) types.set(value.name, given[i] ?? 0);
  declare(types, [...body.valueInfo, ...body.output, ...body.input]);
  for (const tensor of body.initializer) types.set(tensor.name, tensor.dataType);
  const flows = body.node.map((proto) => ({ proto, inputs: namesRead(proto), outputs: proto.output.filter(Boolean) }));
  const results = body.output.map((value) => value.name);
  for (const { proto } of lazyOrder(flows, results)) {
    const tensor = proto.attribute.find((attribute) => attribute.name === "value")?.t;
    if (proto.opType === "Constant" && tensor !== undefined) types.set(proto.output[0] ?? "", tensor.dataType);
    else inferNode(types, proto);
  }
  return results.map((name) => types.get(name) ?? 0);
}
